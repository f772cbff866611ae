// The page around the terminal: forgets the token in the address, and says why the program has ended.
"use strict";

if (location.search.includes("token=")) {
  history.replaceState(null, "", location.pathname); // the cookie has taken its place
}

const look_every = 2000; // milliseconds between two attempts to reach a server that has stopped

const say = (sentence, button) => {
  document.getElementById("sentence").textContent = sentence;
  const again = document.getElementById("again");
  again.hidden = !button;
  document.body.classList.add("ended");
  if (button) again.focus();
};

const answers = async () => {
  try {
    await fetch("alive", { cache: "no-store" }); // also an answer that refuses is one
    return true;
  } catch {
    return false;
  }
};

const wait_for_server = async () => {
  say("The server has stopped. This page waits until it is back.", false);
  while (!(await answers())) await new Promise((done) => setTimeout(done, look_every));
  say("The server is back. What was recorded is in the list of recordings.", true);
};

const ended = async (event) => {
  if (event.code === 1013) say(event.reason, true);
  else if (event.code === 1000) say("The program has ended.", true);
  else if (event.code !== 1001 && (await answers())) say("The program has ended, or the connection was lost.", true);
  else await wait_for_server();
};

// The script of the terminal opens the connection; this sees how it ends.
window.WebSocket = class extends WebSocket {
  constructor(...given) {
    super(...given);
    // Not earlier: what has the focus is told over the connection.
    this.addEventListener("open", () => document.querySelector("#terminal textarea").focus());
    this.addEventListener("close", ended);
  }
};

// It measures the cells as it begins, so it has to wait for their font. It begins with the window's `onload`.
window.addEventListener("load", async () => {
  document.getElementById("again").addEventListener("click", () => location.reload());
  await Promise.all(["", "bold ", "italic "].map((style) => document.fonts.load(`${style}16px "Roboto Mono"`)));
  const script = document.createElement("script");
  script.src = "static/js/textual.js";
  script.addEventListener("load", () => window.onload());
  document.body.append(script);
});
