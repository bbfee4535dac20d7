// Puts equations and values where the page holds text, and lights up what means the same variable.
// data: equations, a list of MathML for each .tex; letters, [MathML, name in code, meaning] of each variable;
// steps, null or {labels, start, values: one a .value, [texts, pictures] by step}.
(function (script, data) {
  const reader = script.closest(".minidiff-reader");
  const all = (selector) => Array.from(reader.querySelectorAll(selector));
  const variableOf = (element) => element.getAttribute("class").match(/v-\d+/)[0];

  all(".tex").forEach((place, k) => {
    place.innerHTML = data.equations[k];
    const first = new Set();  // one stop of the tab key for each variable in an equation
    for (const letter of place.querySelectorAll('[class|="v"]')) {
      if (!first.has(variableOf(letter))) letter.setAttribute("tabindex", "0");
      first.add(variableOf(letter));
    }
  });

  // Letters and names.
  const glossary = document.createElement("div");
  glossary.className = "glossary";
  glossary.setAttribute("role", "tooltip");
  glossary.hidden = true;
  reader.append(glossary);
  if (glossary.showPopover) glossary.popover = "manual";  // else an output's edge would cut it off

  function light(element) {
    dark();
    const name = variableOf(element);
    all("." + name).forEach((same) => same.classList.add("on"));
    const [letter, code, meaning] = data.letters[name.slice(2)];
    glossary.innerHTML = letter + "<b></b><span></span>";
    glossary.querySelector("b").textContent = code;
    glossary.querySelector("span").textContent = meaning;
    glossary.hidden = false;
    if (glossary.popover) glossary.showPopover();
    const left = element.getBoundingClientRect().left, size = glossary.getBoundingClientRect();
    const around = element.closest(".equation, .line").getBoundingClientRect();  // which it leaves in sight
    const top = around.bottom + 6 + size.height < innerHeight ? around.bottom + 6 : around.top - 6 - size.height;
    glossary.style.top = Math.max(top, 0) + "px";
    glossary.style.left = Math.max(Math.min(left, innerWidth - size.width - 8), 8) + "px";
  }

  function dark() {
    all(".on").forEach((element) => element.classList.remove("on"));
    if (glossary.popover && !glossary.hidden) glossary.hidePopover();
    glossary.hidden = true;
  }

  const pointed = (event) => event.target.closest && event.target.closest('[class|="v"]');
  const follow = (event) => pointed(event) ? light(pointed(event)) : dark();
  reader.addEventListener("pointerover", follow);
  reader.addEventListener("pointerleave", dark);
  reader.addEventListener("focusin", follow);
  reader.addEventListener("focusout", dark);
  reader.addEventListener("keydown", (event) => { if (event.key === "Escape") dark(); });

  // The table of contents: a notebook has many readers, and an address of its own.
  all(".contents a").forEach((link, k) => link.addEventListener("click", (event) => {
    event.preventDefault();
    all(".part")[k].scrollIntoView({behavior: "smooth"});
  }));

  // Steps.
  if (!data.steps) return;
  const {labels, start, values} = data.steps, bar = reader.querySelector(".steps");
  const slider = document.createElement("input"), label = bar.querySelector("output");
  Object.assign(slider, {type: "range", min: 0, max: labels.length - 1, value: start, disabled: labels.length < 2});
  slider.setAttribute("aria-label", "step of the run");
  slider.dataset.lmSuppressShortcuts = "true";  // JupyterLab would take the arrow keys
  bar.prepend(slider);
  const places = all(".value");

  function show() {
    const k = Number(slider.value);
    label.textContent = labels[k];
    slider.setAttribute("aria-valuetext", labels[k]);
    places.forEach((place, v) => {
      const [texts, pictures] = values[v], text = texts[k], picture = pictures && pictures[k];
      place.classList.toggle("none", text === null);
      place.textContent = text === null ? "not reached" : text;
      if (picture) {
        const image = new Image();
        image.alt = "";
        image.src = "data:image/webp;base64," + picture;
        place.prepend(image);
      }
    });
  }
  slider.addEventListener("input", show);
  show();
})
