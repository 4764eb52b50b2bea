/** The part of `blake2b-wasm` that we use. Its published types would bring the browser's globals into the server. */
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
