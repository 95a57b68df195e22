"use strict";
// Commands get a button that copies them, diagrams get buttons that stretch time. Without scripts a click on a command selects all of it,
// and diagrams show all there is (report.html.j2).

function button(text, label, action) {
  const one = document.createElement("button");
  one.type = "button";
  one.textContent = text;
  one.setAttribute("aria-label", label);
  one.addEventListener("click", action);
  return one;
}

for (const code of document.querySelectorAll("code.copy")) {
  const copy = button("copy", "copy: " + code.textContent, async () => {
    let done = false;
    try {
      await navigator.clipboard.writeText(code.textContent);
      done = true;
    } catch {
      // No clipboard on this page (file:// in some browsers): select it and ask for the older command.
      getSelection().selectAllChildren(code);
      done = document.execCommand("copy");
    }
    copy.textContent = done ? "copied" : "selected: press Ctrl+C";
    setTimeout(() => { copy.textContent = "copy"; }, 3000);
  });
  code.after(" ", copy);
}

// A diagram's time runs from data-left to data-right; what lies left of it are names. Stretching moves what has a time and leaves heights alone.
const LONGEST = 64;

class Diagram {
  constructor(svg) {
    this.svg = svg;
    this.box = svg.parentElement;
    this.left = Number(svg.dataset.left);
    this.right = Number(svg.dataset.right);
    [, , this.width, this.height] = svg.getAttribute("viewBox").split(" ").map(Number);
    this.times = 1;
    this.moved = [];
    this.names = [];
    this.ticks = [];
    // Marks of the axis are made anew when time is stretched: those that were drawn would be too few.
    this.axis = [...svg.querySelectorAll("text.note[text-anchor=middle]")];
    this.perSecond = (Number(this.axis[1].getAttribute("x")) - Number(this.axis[0].getAttribute("x"))) / (parseFloat(this.axis[1].textContent) - parseFloat(this.axis[0].textContent));
    for (const one of svg.querySelectorAll("rect, line, text, path")) {
      if (one.tagName === "text" && Number(one.getAttribute("x")) < this.left && one.getAttribute("text-anchor") === "end") {
        this.names.push(one);
        continue;
      }
      const were = { at: one.dataset.at, text: one.textContent, full: one.dataset.full };
      for (const name of ["x", "x1", "x2", "width", "d"]) {
        if (one.hasAttribute(name)) were[name] = one.getAttribute(name);
      }
      this.moved.push([one, were]);
    }
    const cover = document.createElementNS(svg.namespaceURI, "rect");
    this.cover = cover;
    for (const [name, value] of Object.entries({ class: "cover", x: 0, y: 0, width: this.left - 6, height: this.height, visibility: "hidden" })) {
      cover.setAttribute(name, value);
    }
    svg.append(cover, ...this.names);
    this.names.push(cover);
    this.box.addEventListener("scroll", () => this.keepNames());
    this.tools = document.createElement("p");
    this.tools.className = "tools";
    this.less = button("−", "shorter time scale", () => this.stretch(this.times / 2));
    this.more = button("+", "longer time scale", () => this.stretch(this.times * 2));
    this.all = button("all", "show all of the time", () => this.stretch(1));
    this.says = document.createElement("span");
    this.says.setAttribute("role", "status");
    this.tools.append("time: ", this.less, " ", this.more, " ", this.all, " ", this.says);
    this.box.before(this.tools);
    this.show();
  }

  at(x) {
    return x <= this.left ? x : this.left + (x - this.left) * this.times;
  }

  // Where the middle of what is to be seen is, in the picture's units when nothing is stretched; at first the violation.
  middle() {
    const violation = this.svg.querySelector("line.violation");
    if (this.times === 1 && violation) return Number(this.moved.find(([one]) => one === violation)[1].x1);
    const unit = this.drawn() / this.svg.viewBox.baseVal.width;
    const x = (this.box.scrollLeft + this.box.clientWidth / 2) / unit;
    return this.left + (x - this.left) / this.times;
  }

  drawn() {
    return this.svg.getBoundingClientRect().width;
  }

  stretch(times) {
    const middle = this.middle();
    this.times = Math.min(LONGEST, Math.max(1, times));
    for (const [one, were] of this.moved) {
      for (const name of ["x", "x1", "x2"]) {
        if (!(name in were)) continue;
        const here = Number(were[name]);
        const at = were.at === undefined ? here : Number(were.at);
        one.setAttribute(name, this.at(at) + here - at);
      }
      if (were.full) one.textContent = were.full.length <= were.text.length * this.times ? were.full : were.text;
      if ("width" in were && !one.classList.contains("tick")) {
        const x = Number(were.x);
        one.setAttribute("width", this.at(x + Number(were.width)) - this.at(x));
      }
      if ("d" in were) one.setAttribute("d", were.d.replace(/([MH])([\d.]+)/g, (_, letter, x) => letter + this.at(Number(x))));
    }
    const width = this.left + (this.right - this.left) * this.times + this.width - this.right;
    this.svg.setAttribute("viewBox", `0 0 ${width} ${this.height}`);
    this.svg.style.width = this.times === 1 ? "" : `${100 * width / this.width}%`;
    this.svg.style.minWidth = this.times === 1 ? "" : `${44 * width / this.width}rem`;
    this.box.scrollLeft = this.at(middle) * (this.drawn() / width) - this.box.clientWidth / 2;
    this.mark();
    this.keepNames();
    this.show();
  }

  mark() {
    for (const one of this.ticks) one.remove();
    for (const one of this.axis) one.setAttribute("visibility", this.times === 1 ? "visible" : "hidden");
    const zero = Number(this.moved.find(([one]) => one === this.axis[0])[1].x) - parseFloat(this.axis[0].textContent) * this.perSecond;
    const step = [0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600].find((one) => one * this.perSecond * this.times >= 70) ?? 1800;
    this.ticks = [];
    for (let n = 0; this.times > 1 && zero + n * step * this.perSecond <= this.right; n += 1) {
      const tick = this.axis[0].cloneNode();
      tick.textContent = `${Number((n * step).toFixed(2))} s`;
      tick.setAttribute("x", this.at(zero + n * step * this.perSecond));
      tick.removeAttribute("visibility");
      this.ticks.push(tick);
    }
    for (const tick of this.ticks) this.svg.insertBefore(tick, this.cover);
  }

  keepNames() {
    const x = this.times === 1 ? 0 : this.box.scrollLeft * this.svg.viewBox.baseVal.width / this.drawn();
    for (const one of this.names) one.setAttribute("transform", `translate(${x} 0)`);
    this.cover.setAttribute("visibility", x ? "visible" : "hidden");
  }

  show() {
    this.less.disabled = this.all.disabled = this.times === 1;
    this.more.disabled = this.times >= LONGEST;
    this.says.textContent = this.times === 1 ? "" : `${this.times} times as long`;
  }
}

const diagrams = [...document.querySelectorAll("svg.run")].map((svg) => new Diagram(svg));
addEventListener("beforeprint", () => { for (const one of diagrams) one.stretch(1); });
