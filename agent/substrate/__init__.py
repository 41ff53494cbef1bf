"""What an agent remembers beyond its life."""
