// Search on pages that are opened from a disk. A browser starts no worker there, so the theme's search runs in a hidden
// frame instead, which speaks like one. Pages from a server keep the browser's own workers.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      this.ready = new Promise(resolve => {
        const begin = () => {
          document.body.append(frame);
          const inside = frame.contentWindow;
          this.inside = inside;
          inside.postMessage = data => this.dispatchEvent(new MessageEvent("message", { data }));
          inside.importScripts = (...urls) => urls.reduce((before, one) => before.then(() => load(inside, one)), Promise.resolve());
          load(inside, url).then(resolve);
        };
        document.body ? begin() : addEventListener("DOMContentLoaded", begin);
      });
    }

    postMessage(data) {
      this.ready.then(() => this.inside.dispatchEvent(new MessageEvent("message", { data })));
    }

    terminate() {
      this.inside?.frameElement?.remove();
    }
  };

  const load = (inside, url) => new Promise((resolve, reject) => {
    const script = inside.document.createElement("script");
    script.src = new URL(url, document.baseURI);
    script.onload = resolve;
    script.onerror = () => reject(new Error(`${url} cannot be loaded`));
    inside.document.head.append(script);
  });
}
