// Lists the parts of the site whose title or first words have every word that is typed.
const field = document.getElementById("search");
const found = document.getElementById("found");
const MOST = 30;

function rank(entry, words) {
  const title = entry[0].toLowerCase();
  const all = title + " " + entry[2].toLowerCase();
  if (!words.every((word) => all.includes(word))) return -1;
  return words.filter((word) => title.includes(word)).length - title.length / 1000;
}

field.addEventListener("input", () => {
  const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
  const hits = words.length ? ENTRIES.map((entry) => [rank(entry, words), entry]) : [];
  const best = hits.filter((hit) => hit[0] >= -0.5).sort((a, b) => b[0] - a[0]);
  found.replaceChildren(...best.slice(0, MOST).map(([, [title, place, text]]) => {
    const item = document.createElement("li");
    const link = item.appendChild(document.createElement("a"));
    link.href = document.body.dataset.up + place;
    link.textContent = title;
    item.appendChild(document.createElement("small")).textContent = text;
    return item;
  }));
});
