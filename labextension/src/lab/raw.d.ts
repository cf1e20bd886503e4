/** Files as text; paths are those from the compiled code, below build/ts. */
declare module '*.txt' {
  const text: string;
  export default text;
}
