// The next step of every layer, as it is chosen now: in the table of choices, and the cheapest of them as bars.

const MOST_STEPS = 16

// choices: rows of the table, whose columns of the next step are filled in; flat, about: as for choice_rows. Layers that are
// tied take a step together.
function fill_steps(choices, flat, about) {
  if (flat.data.layer.length === 0) return
  if (tab.rows_of !== flat.data) Object.assign(tab, {...tied(choice_rows(flat, about), about.data.ties[0]), rows_of: flat.data})
  const {data} = choices
  tab.rows.forEach((row, group) => {
    const layers = tab.members[group]
    const alone = layers.length === 1 ? "this layer alone" : `with the ${layers.length} layers that are tied, each by itself`
    const now = row.ratios.findIndex((ratio) => same_ratio(ratio, data.ratio[layers[0]]))
    if (now < 0) return
    for (const [field, value] of Object.entries(next_step(row, now, about, alone))) for (const layer of layers) data[field][layer] = value
  })
}

const no_tex = (text) => text.replace(/[$\\]/g, "$&\u200b") // names on an axis would be formulas, and those can run code

const LONGEST = 4 // bars longer than so many times the median are cut off: the short ones are what one looks for

// bars: source of the plot; figure: it
function draw_steps(choices, bars, figure) {
  const {layer, price, points, percent, next_ratio} = choices.data
  const firsts = new Set((tab.members ?? []).map(([first]) => first))
  const known = [...layer.keys()].filter((row) => firsts.has(row) && Number.isFinite(price[row])).sort((a, b) => price[a] - price[b])
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

// A click on a layer says in words why it has its ratio, as long as it has that; why: the place for them
function follow_clicks(table, why) {
  const grid = Bokeh.index.find_one?.(table)?.grid
  if (grid === undefined || grid.aimet_hooks_clicks) return
  grid.aimet_hooks_clicks = true
  grid.onClick.subscribe((_event, {row}) => {
    tab.asked = grid.getDataItem(row).layer
    say_why(why)
  })
}

function say_why(why) {
  const escaped = (text) => text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`)
  const row = choices.data.layer.indexOf(tab.asked), step = choices.data.step[row]
  const text = step ? `<p><b>${escaped(tab.asked)}</b>: ${escaped(step)}.</p>` : ""
  if (why.text !== text) why.text = text
}
