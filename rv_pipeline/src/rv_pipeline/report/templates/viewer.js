"use strict";
(() => {
  const MOST = 40;
  const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

  function view(viewer) {
    const stage = viewer.querySelector(".stage");
    const panes = [...stage.querySelectorAll(".pane")];
    const frames = [...stage.querySelectorAll(".frame")];
    const moves = [...stage.querySelectorAll(".move")];
    const output = viewer.querySelector(".zoom output");
    const radios = [...viewer.querySelectorAll(".tabs input")];
    const strength = viewer.querySelector(".strength input");
    const state = { zoom: 1, x: 0, y: 0 };  // x, y: where the corner lies, in widths and heights
    const pointers = new Map();
    let pinch = null;
    let dragged = false;

    const first = stage.querySelector("img.base");
    for (const image of stage.querySelectorAll("img.base")) {
      if (image !== first) image.src = first.src;
    }
    const shownFrame = () => frames.find((frame) => frame.offsetWidth > 0) ?? frames[0];

    function draw() {
      state.zoom = clamp(state.zoom, 1, MOST);
      state.x = clamp(state.x, 1 - state.zoom, 0);
      state.y = clamp(state.y, 1 - state.zoom, 0);
      for (const move of moves) {
        move.style.transform =
          `translate(${100 * state.x}%, ${100 * state.y}%) scale(${state.zoom})`;
      }
      const ratio = state.zoom * shownFrame().offsetWidth / (first.naturalWidth || 1);
      viewer.classList.toggle("near", ratio > 2);
      viewer.classList.toggle("zoomed", state.zoom > 1);
      const digits = state.zoom < 10 && state.zoom % 1 ? 1 : 0;
      output.textContent = `${state.zoom.toFixed(digits)}\u00d7`;
    }

    // Zoom so that what is at the point (from[0], from[1]) of the frame, 0..1 each, comes to `to`.
    function zoomTo(zoom, from = [0.5, 0.5], to = from) {
      const next = clamp(zoom, 1, MOST);
      const times = next / state.zoom;
      state.x = to[0] - (from[0] - state.x) * times;
      state.y = to[1] - (from[1] - state.y) * times;
      state.zoom = next;
      draw();
    }

    function pan(dx, dy) {
      state.x += dx;
      state.y += dy;
      draw();
    }

    function place(event, frame) {
      const box = frame.getBoundingClientRect();
      return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    }

    // How far apart the first two of several fingers are, and the point between them.
    function spread(frame) {
      if (pointers.size < 2) return null;
      const [a, b] = [...pointers.values()];
      const apart = Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
      const [au, av] = place(a, frame);
      const [bu, bv] = place(b, frame);
      return { apart: Math.max(1, apart), middle: [(au + bu) / 2, (av + bv) / 2] };
    }

    function choose(value) {
      const all = value === "all";
      viewer.classList.toggle("single", !all);
      panes.forEach((pane, number) => pane.classList.toggle("chosen", String(number) === value));
      for (const radio of radios) radio.checked = radio.value === value;
      if (strength) {  // where nothing is soft, it would do nothing
        strength.parentElement.hidden = !all && !panes[value].querySelector(".soft");
      }
      draw();
    }

    for (const frame of frames) {
      frame.addEventListener("wheel", (event) => {
        // A page that is scrolled past stays a page: the wheel zooms what was chosen.
        if (!event.ctrlKey && !stage.contains(document.activeElement)) return;
        event.preventDefault();
        const lines = event.deltaMode === 1 ? 24 : 1;
        const step = clamp(event.deltaY * lines, -120, 120);
        zoomTo(state.zoom * Math.exp(-step / (event.ctrlKey ? 120 : 320)), place(event, frame));
      }, { passive: false });
      frame.addEventListener("pointerdown", (event) => {
        if (event.button) return;
        pointers.set(event.pointerId, event);
        frame.setPointerCapture(event.pointerId);
        viewer.classList.add("held");
        dragged = pointers.size > 1;
        pinch = spread(frame);
        stage.focus({ preventScroll: true });
      });
      frame.addEventListener("pointermove", (event) => {
        const before = pointers.get(event.pointerId);
        if (!before) return;
        const box = frame.getBoundingClientRect();
        if (Math.hypot(event.clientX - before.clientX, event.clientY - before.clientY) > 2) {
          dragged = true;
        }
        if (pointers.size === 1) {
          if (state.zoom > 1) {
            const dx = (event.clientX - before.clientX) / box.width;
            pan(dx, (event.clientY - before.clientY) / box.height);
          }
          pointers.set(event.pointerId, event);
          return;
        }
        pointers.set(event.pointerId, event);
        const now = spread(frame);
        zoomTo(state.zoom * now.apart / pinch.apart, pinch.middle, now.middle);
        pinch = now;
      });
      const release = (event) => {
        pointers.delete(event.pointerId);
        pinch = spread(frame);
        if (!pointers.size) viewer.classList.remove("held");
      };
      frame.addEventListener("pointerup", release);
      frame.addEventListener("pointercancel", release);
      frame.addEventListener("dblclick", (event) => {
        if (!dragged) zoomTo(state.zoom * 2, place(event, frame));
      });
    }

    const deeds = {
      in: () => zoomTo(state.zoom * 1.5),
      out: () => zoomTo(state.zoom / 1.5),
      reset: () => zoomTo(1),
      full: () => (document.fullscreenElement
        ? document.exitFullscreen() : viewer.requestFullscreen?.()),
    };
    for (const button of viewer.querySelectorAll("[data-do]")) {
      button.addEventListener("click", () => deeds[button.dataset.do]());
    }
    const keys = {
      "+": deeds.in, "=": deeds.in, "-": deeds.out, "0": deeds.reset,
      ArrowLeft: () => pan(0.15, 0), ArrowRight: () => pan(-0.15, 0),
      ArrowUp: () => pan(0, 0.15), ArrowDown: () => pan(0, -0.15),
    };
    stage.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const arrow = event.key.startsWith("Arrow");
      if (arrow && state.zoom === 1) return;  // then they scroll the page
      const layer = Number(event.key);
      if (keys[event.key]) keys[event.key]();
      else if (layer >= 1 && layer <= panes.length) choose(String(layer - 1));
      else return;
      event.preventDefault();
    });
    for (const radio of radios) radio.addEventListener("change", () => choose(radio.value));
    strength?.addEventListener("input", () => {
      viewer.style.setProperty("--strength", strength.value / 100);
    });

    for (const part of viewer.querySelectorAll(".bar, .how")) part.hidden = false;
    if (!document.fullscreenEnabled) viewer.querySelector("[data-do=full]").hidden = true;
    const roomy = viewer.clientWidth >= 560 && panes.length > 1;
    choose(roomy ? "all" : String(Math.min(1, panes.length - 1)));
    first.addEventListener("load", draw);
    addEventListener("resize", draw);
  }

  document.querySelectorAll(".viewer").forEach(view);
})();
