// The next step of every layer, as it is chosen now: in the table of choices, and the cheapest of them as bars.

const MOST_STEPS = 16

// choices: rows of the table, whose columns of the next step are filled in; flat, about: as for choice_rows
function fill_steps(choices, flat, about) {
  if (flat.data.layer.length === 0) return
  const rows = tab.rows_of === flat.data ? tab.rows : choice_rows(flat, about)
  Object.assign(tab, {rows, rows_of: flat.data})
  const {data} = choices
  rows.forEach((row, layer) => {
    const now = row.ratios.findIndex((ratio) => same_ratio(ratio, data.ratio[layer]))
    if (now >= 0) for (const [field, value] of Object.entries(next_step(row, now, about))) data[field][layer] = value
  })
}

const no_tex = (text) => text.replace(/[$\\]/g, "$&\u200b") // names on an axis would be formulas, and those can run code

const LONGEST = 4 // bars longer than so many times the median are cut off: the short ones are what one looks for

// bars: source of the plot; figure: it
function draw_steps(choices, bars, figure) {
  const {layer, price, points, percent, next_ratio} = choices.data
  const known = [...layer.keys()].filter((row) => Number.isFinite(price[row])).sort((a, b) => price[a] - price[b])
  const rows = known.slice(0, MOST_STEPS)
  const labels = []
  for (const row of rows) labels.push(no_tex(label(layer[row], row, labels)))
  const lengths = rows.map((row) => price[row])
  const longest = Math.max(...lengths, 0), median = lengths[lengths.length >> 1]
  const data = {
    y: labels, right: lengths, name: rows.map((row) => layer[row]),
    points: rows.map((row) => points[row]), percent: rows.map((row) => percent[row]), ratio: rows.map((row) => next_ratio[row]),
  }
  figure.visible = rows.length > 0
  figure.height = 70 + 19 * rows.length
  const factors = labels.toReversed()
  if (factors.join() !== figure.y_range.factors.join()) figure.y_range.factors = factors
  figure.x_range.setv({start: Math.min(0, ...lengths), end: median > 0 ? Math.min(longest, LONGEST * median) : longest || 1})
  set_changed(bars, data)
  figure.title.text = known.length > rows.length ? `the ${rows.length} cheapest of ${known.length}` : ""
}

// A click on a layer says in words why it has its ratio; why: the place for them
function follow_clicks(table, why) {
  const grid = Bokeh.index.find_one?.(table)?.grid
  if (grid === undefined || grid.aimet_hooks_clicks) return
  grid.aimet_hooks_clicks = true
  const escaped = (text) => text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`)
  grid.onClick.subscribe((_event, {row}) => {
    const price = grid.getColumns().findIndex((column) => column.field === "price")
    const sentence = grid.getCellNode(row, price)?.querySelector("[title]")?.title ?? "no cheaper ratio of it has a score"
    why.text = `<p><b>${escaped(String(grid.getDataItem(row).layer))}</b>: ${escaped(sentence)}.</p>`
  })
}
