// A field left empty asks nothing: it stays out of the address.
for (const form of document.forms) {
  form.addEventListener("submit", () => {
    for (const field of form.elements) field.disabled = field.name !== "" && field.value.trim() === "";
  });
}
