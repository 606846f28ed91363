// All that a tab derives from the page by itself. Runs when the page was drawn (control), when layers were ticked
// (cells.selected) and when the tab has been laid out (figure); the state of the tab is kept on the window.
//
// control, cells, table, choices, choices_table, why, what_if_choices, what_if_about, steps, steps_figure, skipped_table,
// curves, points, marks, baseline, figure, quiet, colours: models and values; cb_data.in_place: sources that a
// tab has changed in the rows cb_data.rows, which are all that is to be painted

const tab = window.aimet_hooks_tab ??= {heard: 0, beat: null, reloads: control.data.reloads[0], dirty: new Set(), lost: false}
const columns = table.columns.slice(3).filter((column) => column.visible)
const MOST_CURVES = colours.length

// ---- tables: Bokeh does not repaint cells whose values alone have changed ----

function watch_for_changes(source) {
  const mark = () => tab.dirty.add(source)
  for (const signal of [source.patching, source.streaming, source.properties.data.change]) signal.connect(mark)
}

// Paint some rows anew, of those that are seen: many times as fast as a table. rows: a set of their places in the source
function paint_rows(grid, rows) {
  const {top, bottom} = grid.getRenderedRange()
  for (let row = top; row <= bottom; row++) {
    const place = grid.getDataItem(row)?.__bkdt_internal_index__
    if (place === undefined || rows.has(place)) grid.invalidateRow(row)
  }
  grid.render()
}

function repaint() {
  const tried = window.aimet_hooks_what_if // the run has drawn its own choice over what a viewer tries
  if (!cb_data?.in_place && (tab.dirty.has(choices) || tab.dirty.has(cells))) tried?.show_again?.()
  if (tab.dirty.has(choices)) fill_steps(choices, what_if_choices, what_if_about)
  for (const [source, shown] of [[cells, table], [choices, choices_table]]) {
    if (!tab.dirty.delete(source)) continue
    const grid = Bokeh.index.find_one?.(shown)?.grid
    if (cb_data?.rows && grid !== undefined) paint_rows(grid, cb_data.rows)
    else shown.view.change.emit()
  }
}

// ---- curves: the ticked layers; else the one that is being evaluated; else those that cost most ----

function rows_to_draw() {
  const ticked = cells.selected.indices
  if (ticked.length > 0) return ticked
  const current = control.data.current[0]
  if (current !== null) return [current]
  const order = [...cells.data.share.keys()]
  if (cells.data.share.some((share) => share !== null)) order.sort((a, b) => cells.data.share[b] - cells.data.share[a])
  return order.slice(0, 5)
}

function shortened(name) {
  return name.length <= 24 ? name : `${name.slice(0, 11)}…${name.slice(-12)}`
}

function label(name, row, others) { // the legend has one entry a label
  const short = shortened(name)
  return others.includes(short) ? `${short} (#${row + 1})` : short
}

function set_changed(source, data) {
  tab.drawn ??= new Map()
  const drawn = JSON.stringify(data)
  if (tab.drawn.get(source.name) === drawn) return
  tab.drawn.set(source.name, drawn)
  source.data = data
}

function draw_curves() {
  const rows = rows_to_draw().filter((row) => row < cells.data.layer.length)
  const lines = {xs: [], ys: [], name: [], color: []}
  const dots = {x: [], y: [], name: [], color: [], text: []}
  const stars = {x: [], y: [], name: [], color: [], text: []}
  rows.slice(0, MOST_CURVES).forEach((row, number) => {
    const name = cells.data.layer[row]
    const xs = [], ys = []
    for (const column of columns) {
      const [, look, text] = cells.data[column.field][row].split("|")
      const x = Number.parseFloat(column.title), y = Number.parseFloat(text)
      if (!Number.isFinite(y)) continue
      xs.push(x)
      ys.push(y)
      const into = look.split(" ").includes("chosen") ? stars : dots
      into.x.push(x); into.y.push(y); into.name.push(name); into.color.push(colours[number]); into.text.push(text)
    }
    lines.xs.push(xs); lines.ys.push(ys); lines.name.push(label(name, row, lines.name)); lines.color.push(colours[number])
  })
  if (baseline.visible && rows.length > 0) { // the end of every curve of ratios, and what keeps the baseline in sight
    const by_bits = figure.x_range.end > 2
    dots.x.push(by_bits ? figure.x_range.end : 1); dots.y.push(baseline.location); dots.color.push("#808794")
    dots.name.push(by_bits ? "no layer quantized" : "no layer compressed"); dots.text.push(`${baseline.location}`)
  }
  set_changed(curves, lines)
  set_changed(points, dots)
  set_changed(marks, stars)
  const left_out = rows.length - MOST_CURVES
  figure.title.text = left_out > 0 ? `the first ${MOST_CURVES} of ${rows.length} ticked layers` : ""
}

// ---- the server and the process behind the page ----

function say(text) {
  const box = text === "" ? "" : `<div class="quiet">${text}</div>` // only texts of this file
  if (quiet.text !== box) quiet.text = box
}

function every_second() {
  const {live} = control.data
  if (tab.lost) say("The server is gone; the page comes back by itself when it answers.")
  else if (live[0] && performance.now() - tab.heard > 6000)
    say(`No update for ${Math.round((performance.now() - tab.heard) / 1000)} s: the process that draws this page is gone or stuck.`)
  else say("")
}

// ---- what happens now ----

if (tab.control !== control) {
  tab.control = control
  follow_ticks(cells, "layer")
  watch_for_changes(cells)
  watch_for_changes(choices)
  tab.dirty.add(cells)
  tab.dirty.add(choices)
}
for (const source of cb_data?.in_place ?? []) tab.dirty.add(source)
if (tab.document !== control.document) {
  tab.document = control.document
  outlive_server(control.document, () => {
    tab.lost = true
    every_second()
  })
  tab.timer ??= setInterval(every_second, 1000)
}
if (control.data.beat[0] !== tab.beat) {
  tab.beat = control.data.beat[0]
  tab.heard = performance.now()
}
if (control.data.reloads[0] > tab.reloads) {
  tab.reloads = control.data.reloads[0]
  control.document.apply_json_patch = () => undefined // what comes now is for the page after the reload
  setTimeout(() => location.reload(), 1000)
}
repaint()
if (!cb_data?.in_place) {
  for (const shown of [table, choices_table, skipped_table]) fit_columns(shown)
  follow_clicks(choices_table, why)
  say_why(why)
  draw_curves()
  draw_steps(choices, steps, steps_figure)
}
