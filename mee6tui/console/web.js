// Tells textual-serve's page where its WebSocket is: beside the page, wherever a tunnel or a proxy has put that.
"use strict";
document.addEventListener("DOMContentLoaded", () => {
  const address = new URL("ws", window.location.href);
  address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
  address.search = "";
  document.getElementById("terminal").dataset.sessionWebsocketUrl = address.href;
});
// Keys are for the console without a click first, from its first byte on: before that there is nobody to tell.
window.addEventListener("load", () => {
  const body = document.body;
  const watching = new MutationObserver(() => {
    if (body.classList.contains("-first-byte")) {
      watching.disconnect();
      document.querySelector(".xterm-helper-textarea").focus();
    }
  });
  watching.observe(body, { attributeFilter: ["class"] });
});
