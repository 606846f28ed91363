// Rows stay ticked by their names, wherever they move and whatever comes between; also after a reload.
// source: of a table; column: the one that names its rows

function follow_ticks(source, column) {
  const place = `aimet_hooks_ticked_${source.name}`
  const ticked = new Set(JSON.parse(sessionStorage.getItem(place) ?? "[]"))
  let by_us = false

  function tick_again() {
    const names = source.data[column]
    const rows = [...names.keys()].filter((row) => ticked.has(names[row]))
    const now = source.selected.indices
    if (rows.length === now.length && now.every((row) => ticked.has(names[row]))) return
    by_us = true
    source.selected.indices = rows
    by_us = false
  }

  function remember() {
    if (by_us) return
    const names = source.data[column]
    for (const name of names) ticked.delete(name)
    for (const row of source.selected.indices) ticked.add(names[row])
    sessionStorage.setItem(place, JSON.stringify([...ticked]))
  }

  for (const row of source.selected.indices) ticked.add(source.data[column][row]) // what was ticked before we came
  source.selected.properties.indices.change.connect(remember)
  source.properties.data.change.connect(tick_again)
  source.streaming.connect(tick_again)
  tick_again()
}
