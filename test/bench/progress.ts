/** Tells on stderr what the bench is doing: one line that moves in a terminal, one line a work elsewhere. */

export interface Progress {
  /** Something that stays to be read. */
  say(text: string): void;
  /** What is being done right now. */
  doing(text: string): void;
}

export function createProgress(stream: NodeJS.WriteStream): Progress {
  const begun = performance.now();
  const clear = () => {
    if (stream.isTTY) stream.write('\r\x1b[2K');
  };
  return {
    say(text) {
      clear();
      stream.write(`${text}\n`);
    },
    doing(text) {
      if (!stream.isTTY) return;
      clear();
      const seconds = Math.round((performance.now() - begun) / 1000);
      stream.write(`${String(seconds).padStart(4)} s  ${text}`.slice(0, stream.columns));
    },
  };
}
