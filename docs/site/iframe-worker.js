// A Worker for pages that are opened from a disk, for which browsers have none. It runs its
// script in a hidden iframe. The theme's search looks for the name IFrameWorker.
if (location.protocol === "file:") {
  window.IFrameWorker = window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      document.body.appendChild(this.frame);
      const inside = this.frame.contentWindow;
      inside.document.open(); // or the document would be replaced once it is loaded
      inside.document.write("<!doctype html><body></body>");
      inside.document.close();
      const load = (script) =>
        new Promise((loaded, failed) => {
          const element = inside.document.createElement("script");
          element.src = new URL(script, new URL(url, document.baseURI)).href;
          element.onload = loaded;
          element.onerror = failed;
          inside.document.body.appendChild(element);
        });
      inside.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
      inside.importScripts = (...scripts) => scripts.reduce((before, script) => before.then(() => load(script)), Promise.resolve());
      this.loaded = load(new URL(url, document.baseURI));
    }

    postMessage(data) {
      this.loaded.then(() => this.frame.contentWindow.dispatchEvent(new MessageEvent("message", { data })));
    }

    terminate() {
      this.frame.remove();
    }
  };
}
