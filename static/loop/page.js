// The loop's page: who has it, how late it comes, when it stood still, and what runs on it.
import {followLag} from "./lag.js";
import {followShares} from "./shares.js";
import {followStalls} from "./stalls.js";
import {followTasks} from "./tasks.js";

export function mount(main, feed) {
  feed.want(["servers", "loop"]);
  const ends = [followShares, followLag, followStalls, followTasks].map((follow) => follow(main, feed));
  return () => {
    for (const end of ends) end();
  };
}
