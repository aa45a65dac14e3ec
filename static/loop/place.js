// Where a stack says that something is: the innermost call in a variant's own file, or else the innermost of all.

const OWN = /[\\/]servers[\\/](?!_)[^\\/]+\.py$/;

export const placeOf = (stack) => stack.findLast((place) => OWN.test(place.file)) ?? stack.at(-1);
