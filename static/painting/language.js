// WebKit's `navigator.language` is "C" where the locale is C.UTF-8: no language tag (BCP 47). uPlot makes a format of it when
// it is imported, which throws then (leeoniya/uPlot 1053), so it gets the page's own.
try {
  Intl.getCanonicalLocales(navigator.language);
} catch {
  Object.defineProperty(navigator, "language", {value: document.documentElement.lang});
}
