/** What is used of `blake2b-wasm`. The types that others publish for it would bring the browser's globals into the server. */
declare module 'blake2b-wasm' {
  export default class Blake2b {
    /** Resolves once hashes can be made. */
    static ready(): Promise<void>;
    constructor(length: number, key?: Uint8Array);
    update(piece: Uint8Array): this;
    digest(): Uint8Array;
    /** Overwrites the 216 bytes of its state. */
    setPartialHash(state: Uint8Array): void;
  }
}
