// Ten thousand rows of which thirty are there: all rows are equally high, so where a row would be is arithmetic, and
// two empty rows, as high as what is left out, keep the scroll bar true. The table stays a table: screen readers are
// told its real size by aria-rowcount and aria-rowindex.

const BEYOND = 6; // rows painted above and below what is seen

/** Which of `count` rows are to be there: `first` and `end`, and the heights left out `above` and `below`. */
export function seenOf(sheet, count, height) {
  const first = Math.max(0, Math.min(count, Math.floor(sheet.scrollTop / height)) - BEYOND);
  const end = Math.min(count, first + Math.ceil(sheet.clientHeight / height) + 2 * BEYOND);
  return {first, end, above: first * height, below: (count - end) * height};
}
