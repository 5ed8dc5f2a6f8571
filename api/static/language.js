// The other language, from here on: kept for these pages alone, for a year.
const button = document.querySelector("button.language");
button.addEventListener("click", () => {
  const { pathname } = new URL(button.dataset.path);
  document.cookie = `cim-language=${button.lang}; path=${pathname}; max-age=31536000; samesite=lax`;
  location.reload();
});
