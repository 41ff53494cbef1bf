# A runtime in a language that is a program: answers the first line on its lane with what it was given.
read -r line <&3
fds=""
for fd in 0 1 2 3 4 5 6 7 8 9; do
  [ -e "/proc/$$/fd/$fd" ] && fds="$fds$fd"
done
env=$(env | grep -v '^_=' | tr '\n' ' ')
printf '{"fds": "%s", "env": "%s"}\n' "$fds" "$env" >&3
