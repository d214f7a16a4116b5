// Put before the theme's search worker by hooks.py: it mends lunr, and lets a reader paste an error.
{
  // mend makes the keys of lunr's token sets unambiguous. lunr merges two nodes of its index
  // if their texts are equal, and writes an edge into the text as its character followed by a
  // node's number: if the character is a digit, two different nodes can have the same text.
  // Then the index has words that are in no page, and a search that meets one fails, as for
  // any word with the same first letter (olivernn/lunr.js#279). With an end after each
  // number the text of a node is its own.
  const mend = (set) => {
    set.toString = function () {
      if (this._str) return this._str;
      const edges = Object.keys(this.edges).sort();
      return (this.final ? "1" : "0") + edges.map((edge) => `${edge}${this.edges[edge].id};`).join("");
    };
  };

  // plain returns a query that is a text, such as an error message, without what lunr takes
  // for operators: words in quotes would have to be in the page, and those before a colon be
  // a field. Its words are whole, except the last, which may be half typed, and those that
  // are in most pages don't count. A query of two words keeps its operators.
  const plain = (query) => {
    const words = query.split(/[^\p{L}\p{N}'_]+/u).filter(Boolean);
    if (words.length < 3) return query;
    return words.map((word, i) => (i < words.length - 1 ? `${word}^1` : word)).join(" ");
  };

  // first moves the results whose title is code, as an error text is, and in the query word
  // for word to the front: the title of most words first. "…" in a title stands for any words.
  const first = (query, items) => {
    const text = (html) => html.replace(/<[^>]*>/g, "").replaceAll("&#39;", "'").replace(/&#?\w+;/g, " ");
    const words = (text) => ` ${text.toLowerCase().split(/[^\p{L}\p{N}'_]+/u).filter(Boolean).join(" ")} `;
    const all = words(query);
    const length = ({ title }) => {
      if (!title.includes("<code>")) return 0;
      let at = 0;
      const parts = text(title).split("…").map(words).filter((part) => part.trim());
      for (const part of parts) {
        at = all.indexOf(part, at);
        if (at < 0) return 0;
        at += part.length - 1;
      }
      const length = parts.join(" ").split(" ").filter(Boolean).length;
      return length > 1 ? length : 0; // a single word says little
    };
    for (const group of items) {
      const top = group[0].score;
      for (const item of group) {
        item.length = length(item);
        if (item.length) item.score = top; // results of a page below its first score are folded away
      }
      group.sort((a, b) => b.length - a.length);
    }
    items.sort((a, b) => b[0].length - a[0].length);
  };

  const QUERY = 2, RESULT = 3; // of the theme's SearchMessageType
  let query = "";
  const listen = self.addEventListener.bind(self);
  self.addEventListener = (name, listener) =>
    listen(name, ({ data: message }) => {
      mend(self.lunr.TokenSet.prototype);
      if (message.type === QUERY) {
        query = message.data;
        message = { ...message, data: plain(query) };
      }
      listener({ data: message });
    });
  const post = self.postMessage.bind(self);
  self.postMessage = (message) => {
    if (message.type === RESULT) first(query, message.data.items);
    post(message);
  };
}
