export function mount(main, feed) {
  feed.want(["servers", "loop"]);
  return () => {};
}
