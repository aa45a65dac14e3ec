// The loop's page: who has it, how late it comes, when it stood still, and what runs on it.
import {followSpan} from "../series/kept.js";
import {followLag} from "./lag.js";
import {followShares} from "./shares.js";
import {followStalls} from "./stalls.js";
import {followTasks} from "./tasks.js";

export function mount(main, feed) {
  feed.want(["servers", "loop"]);
  const charts = [followShares, followLag].map((follow) => follow(main, feed));
  followSpan(main.querySelector("#span"), () => {
    for (const one of charts) one.begin();
  });
  const ends = [followStalls, followTasks].map((follow) => follow(main, feed));
  return () => {
    for (const one of charts) one.end();
    for (const end of ends) end();
  };
}
