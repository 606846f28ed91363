// Choose again, for the target of the slider and with the ticked layers locked, and show that in the place of the run's
// choice; the rules are those of Python, to the last bit.
//
// slider, reset, copy, words, choices, cells, mark, flat, about, tick: models; how: what words say at first; cb_data.pressed:
// name of a button

const state = window.aimet_hooks_what_if ??= {}
const run = Object.fromEntries(Object.entries(about.data).map(([name, values]) => [name, values[0]]))

function begin() {
  const rows = choice_rows(flat, about)
  const chosen = rows.map((row, layer) => row.ratios.findIndex((ratio) => same_ratio(ratio, run.chosen[layer])))
  Object.assign(state, {data: flat.data, rows, chosen, now: chosen, locks: new Map(), changed: false, asked: key(run.target, [])})
}

// Another run has the page, or none: what was tried is over.
function forget() {
  Object.assign(state, {data: flat.data, rows: [], locks: new Map(), changed: false})
  choices.selected.indices = []
  reset.disabled = true
  write(how)
  draw_mark()
}

const locks_now = () => [...choices.selected.indices].sort((a, b) => a - b)
const key = (target = slider.value, locks = locks_now()) => JSON.stringify([target, locks]) // what a viewer asks for

// ---- the choice ----

function lock_ticked_layers() {
  const ticked = new Set(locks_now())
  for (const layer of [...state.locks.keys()]) if (!ticked.has(layer)) state.locks.delete(layer)
  for (const layer of ticked) if (!state.locks.has(layer)) state.locks.set(layer, state.now[layer])
}

function chosen_again() {
  const {rows, members} = tied(state.rows, run.ties)
  const now = [...state.now], free = []
  let rest = run.rest
  rows.forEach((row, group) => {
    const locked = members[group].find((layer) => state.locks.has(layer))
    if (locked === undefined) return free.push(group)
    const ratio = state.rows[locked].ratios[state.locks.get(locked)]
    const place = row.ratios.findIndex((known) => known === ratio)
    rest += row.costs[place]
    for (const layer of members[group]) now[layer] = state.rows[layer].ratios.indexOf(ratio)
  })
  const budget = Number(BigInt(Math.round(1000 * slider.value)) * BigInt(run.total) / 1000n) - rest
  const found = choose(run.rule, free.map((group) => rows[group]), budget)
  if (found === null) {
    const least = rest + free.reduce((sum, group) => sum + Math.min(...rows[group].costs), 0)
    return {lowest: least / run.total}
  }
  free.forEach((group, place) => {
    const ratio = rows[group].ratios[found[place]]
    for (const layer of members[group]) now[layer] = state.rows[layer].ratios.indexOf(ratio)
  })
  return {now}
}

// ---- showing it ----

function show(now) {
  state.rows_changed ??= new Set() // until they are painted
  now.forEach((place, layer) => {
    if (place !== state.now[layer]) state.rows_changed.add(layer)
  })
  state.now = now
  const names = Object.keys(cells.data).filter((name) => name.startsWith("cell_"))
  now.forEach((place, layer) => {
    const row = state.rows[layer], candidate = row.candidates[place], alone = row.ratios[place] === 1
    for (let column = 0; column < run.ratios.length - 1; column++) {
      const values = cells.data[names[column]]
      if (values === undefined) break // more ratios than the page has columns for
      const parts = values[layer].split("|")
      const marked = parts[1].split(" ").filter((look) => look !== "chosen")
      parts[1] = [...marked, ...(column === candidate && !alone ? ["chosen"] : [])].join(" ")
      values[layer] = parts.join("|")
    }
    show_row(layer, row, place, alone ? undefined : cells.data[names[candidate]]?.[layer])
  })
}

function show_row(layer, row, place, cell) {
  const {data} = choices, alone = row.ratios.length - 1
  const [key, look, text] = cell === undefined ? ["", "", ""] : cell.split("|")
  data.ratio[layer] = Number(row.ratios[place].toFixed(6))
  data.score[layer] = [key, look.split(" ")[0], text, ...(cell === undefined ? [] : ["score with this layer alone compressed"])].join("|")
  data.rank[layer] = row.ranks[place] || ""
  data.macs[layer] = row.macs[place]
  data.weights[layer] = row.weights[place]
  data.saved[layer] = Number((100 * (row.costs[alone] - row.costs[place]) / run.total).toFixed(3))
}

function totals() {
  const sum = (values) => state.now.reduce((total, place, layer) => total + values(state.rows[layer], place), 0)
  const change = (field) => (row, place) => row[field][place] - row[field][row.ratios.length - 1]
  return {
    kept: (run.rest + sum((row, place) => row.costs[place])) / run.total,
    macs: (run.macs + sum(change("macs"))) / run.macs,
    weights: (run.weights + sum(change("weights"))) / run.weights,
    compressed: state.now.filter((place, layer) => place < state.rows[layer].ratios.length - 1).length,
    predicted: run.baseline + run.sign * sum(change("scores")),
  }
}

function score(value) {
  const text = value.toFixed(run.decimals)
  return text.length > 9 || (value !== 0 && Number(text) === 0) ? value.toPrecision(3) : text
}

function write(text) { // not by a change of the model, which lays the whole page out anew
  const place = Bokeh.index.find_one?.(words)?.shadow_el?.querySelector(".bk-clearfix")
  if (!place) words.text = text
  else {
    words.setv({text}, {silent: true})
    place.innerHTML = text
  }
}

function say() {
  if (!state.changed) {
    write(how)
    return
  }
  const found = totals(), locked = state.locks.size === 0 ? "" : `, ${state.locks.size} locked`
  write(`<p><b>What if:</b> ${found.compressed} of ${state.rows.length} layers compressed${locked}; ` +
    `${found.macs.toFixed(3)} of the MACs and ${found.weights.toFixed(3)} of the weights kept. ` +
    `Predicted score <b>${score(found.predicted)}</b> (baseline ${score(run.baseline)}): optimistic, layers one at a time, not measured.</p>`)
}

function draw_mark() {
  const found = state.changed ? [totals()] : []
  mark.data = {
    x: found.map(({kept}) => kept), y: found.map(({predicted}) => predicted),
    what: found.map(() => "what if: predicted, not measured"), text: found.map(({predicted}) => score(predicted)),
  }
}

function refuse(lowest) {
  const locked = state.locks.size === 0 ? "" : ` with ${state.locks.size} locked`
  write(`<p class="warning">A target of ${slider.value.toFixed(2)} cannot be reached${locked}: ` +
    `the lowest is ${(Math.ceil(1000 * lowest) / 1000).toFixed(3)}. Shown is the choice before.</p>`)
}

// ---- taking it along ----

const CONTROL = /[\x00-\x1f\x7f-\x9f\u2028\u2029]/

function quoted(text) { // for a shell, on one line whatever it is
  if (!CONTROL.test(text)) return `'${text.replaceAll("'", "'\\''")}'`
  const code = (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`
  return `$'${text.replace(/[\\'\x00-\x1f\x7f-\x9f\u2028\u2029]/g, code)}'`
}

function snippet() {
  const ratios = state.now.map((place, layer) => state.rows[layer].ratios[place])
  const entries = ratios.map((ratio, layer) => `    ${JSON.stringify(run.names[layer])}: ${ratio === 1 ? "None" : ratio},\n`)
  const found = totals(), lines = [
    `# ${found.kept.toFixed(3)} of the ${run.metric} kept; predicted score ${score(found.predicted)}, not measured`,
    `selection = ManualSelection({\n${entries.join("")}})`,
    "# or, on the command line:",
  ]
  if (state.changed) lines.push(`# ${select_command()}`)
  const chosen = state.changed ? "ratios.json" : quoted(run.results_dir)
  lines.push(`# aimet-hooks apply MODEL.onnx ${chosen} ${run.apply_options}-o OUT.onnx`)
  return lines.join("\n") + "\n"
}

function select_command() {
  const locks = [...state.applied.locks].map(([layer, place]) => {
    const ratio = state.rows[layer].ratios[place]
    return ` --lock ${quoted(`${run.names[layer]}=${ratio === 1 ? "none" : ratio}`)}`
  })
  const target = Number(state.applied.target.toFixed(3))
  return `aimet-hooks select ${quoted(run.results_dir)} --target ${target} --rule ${run.rule}${locks.join("")} -o ratios.json`
}

async function to_clipboard(text) {
  if (navigator.clipboard !== undefined) return navigator.clipboard.writeText(text)
  const area = document.createElement("textarea") // a page of http has no clipboard but this way
  area.value = text
  document.body.append(area)
  area.select()
  document.execCommand("copy")
  area.remove()
}

async function copy_choice() {
  const {label} = copy
  try {
    await to_clipboard(snippet())
    copy.label = "Copied"
  } catch (error) {
    copy.label = "The browser refuses"
  }
  setTimeout(() => copy.label = "Copy this choice", 1500)
}

// ---- what happens now ----

// What this changes calls it again, later: then nothing has been asked for that is not answered.

function back() {
  choices.selected.indices = []
  slider.value = run.target
  state.locks.clear()
  state.changed = false
  show(state.chosen)
  say()
}

function again() {
  lock_ticked_layers()
  const {now, lowest} = chosen_again()
  if (now === undefined) return refuse(lowest)
  Object.assign(state, {changed: true, applied: {target: slider.value, locks: new Map(state.locks)}})
  show(now)
  say()
}

function respond(pressed) {
  if (pressed === copy.name) return void copy_choice()
  if (pressed === reset.name) back()
  else if (key() === state.asked) return
  else if (state.changed || slider.value !== run.target) again()
  else lock_ticked_layers() // as they are: there is nothing to choose again
  state.asked = key()
  reset.disabled = !state.changed && state.locks.size === 0 && slider.value === run.target
  paint()
}

function paint() {
  tick.execute(tick, {in_place: [cells, choices], rows: state.rows_changed ?? new Set()})
  state.rows_changed = new Set()
  clearTimeout(state.plots) // plots take longer than all else: they follow when the slider rests
  state.plots = setTimeout(() => {
    draw_mark()
    tick.execute(tick, {})
  }, 150)
}

state.show_again = () => {
  if (state.changed && state.data === flat.data) show(state.now)
}
if (state.data !== undefined && state.data !== flat.data) forget()
if (flat.data.layer.length > 0) {
  if (state.data !== flat.data || state.rows.length === 0) begin()
  respond(cb_data?.pressed)
}
