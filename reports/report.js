"use strict";
// Commands get a button that copies them. Without scripts a click on a command selects all of it (report.html.j2).
for (const code of document.querySelectorAll("code.copy")) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "copy";
  button.setAttribute("aria-label", "copy: " + code.textContent);
  button.addEventListener("click", async () => {
    let done = false;
    try {
      await navigator.clipboard.writeText(code.textContent);
      done = true;
    } catch {
      // No clipboard on this page (file:// in some browsers): select it and ask for the older command.
      getSelection().selectAllChildren(code);
      done = document.execCommand("copy");
    }
    button.textContent = done ? "copied" : "selected: press Ctrl+C";
    setTimeout(() => { button.textContent = "copy"; }, 3000);
  });
  code.after(" ", button);
}
