// The channels of the ticked layers, each in a plot of its own. Runs when layers were ticked and when the tab has been laid
// out; every number is in the page.
//
// table: of layers; layers: its source; channels: columns of all channels, layer after layer; begins, counts: where those of each layer
// are; figures, words, shown, marks: of each plot; cut: box that is ticked to cut off what stands out; more: a place for words; wide: relative
// range from which a channel does; colours

const tip = (value) => Number.isFinite(value) ? `${Number(value.toPrecision(4))}` : "undefined"

function slice(row) {
  const begin = begins[row], count = counts[row]
  const data = {x: Array.from({length: count}, (_, channel) => channel)}
  for (const [field, column] of Object.entries(channels.data)) {
    data[field] = Array.from({length: count}, (_, channel) => column[begin + channel])
    data[`tip_${field}`] = data[field].map(tip)
  }
  const relative = data.relative_range
  data.colour = data.x.map((channel) => relative && relative[channel] >= wide ? colours[1] : colours[0])
  data.above = data.x.map((channel) => data.mean ? data.mean[channel] + data.std[channel] : NaN)
  data.below = data.x.map((channel) => data.mean ? data.mean[channel] - data.std[channel] : NaN)
  return data
}

// What of a layer's weights is in sight: all, or that of channels which do not stand out; one pair of columns a state
function bounds(data) {
  const states = [[data.min, data.max], [data.old_min, data.old_max], [data.new_min, data.new_max]].filter(([low]) => low !== undefined)
  const bars = states.flatMap(([low, high]) => data.x.map((channel) => [low[channel], high[channel]])).filter(([low]) => Number.isFinite(low))
  const widths = bars.map(([low, high]) => high - low).filter((width) => width > 0).sort((a, b) => a - b)
  const limit = cut.active.length > 0 && widths.length > 0 ? wide * widths[widths.length >> 1] : Infinity
  const seen = bars.filter(([low, high]) => high - low <= limit)
  const low = seen.reduce((lowest, bar) => Math.min(lowest, bar[0]), 0), high = seen.reduce((highest, bar) => Math.max(highest, bar[1]), 0)
  const room = (high - low || 1) * 0.07
  return {start: low - room, end: high + 1.5 * room}
}

function mark(place, data, end) { // the channel that stands out of a layer
  const channel = layers.data.marked[place]
  const tops = [data.max, data.old_max, data.new_max].map((column) => column?.[channel]).filter((top) => Number.isFinite(top))
  if (channel === null || tops.length === 0) return {x: [], y: [], text: [], text_x: [], align: [], offset: []}
  const is_right = channel > 0.7 * data.x.length
  const y = Math.min(Math.max(...tops), end)
  return {
    x: [channel], y: [y], text: [layers.data.mark[place]],
    text_x: [channel + (is_right ? -0.5 : 0.5)], align: [is_right ? "right" : "left"], offset: [is_right ? -8 : 8],
  }
}

const with_reset = ({start, end}) => ({start, end, reset_start: start, reset_end: end})

function show(place, number) {
  const row = layers.data.row[place]
  const data = slice(row), seen = bounds(data)
  figures[number].x_range.setv(with_reset({start: -0.7, end: counts[row] - 0.3}))
  figures[number].y_range.setv(with_reset(seen))
  shown[number].data = data
  marks[number].data = mark(place, data, seen.end - 0.035 * (seen.end - seen.start))
  const drawn = [data.min, data.old_min, data.new_min].filter((column) => column !== undefined)
  const gaps = data.x.filter((channel) => drawn.some((column) => !Number.isFinite(column[channel]))).length
  const about_gaps = gaps > 0 ? `<p class="muted">Gaps in the plot: ${gaps} with weights that are NaN or infinite.</p>` : ""
  words[number].text = layers.data.about[place] + about_gaps
}

// A click on a row shows that layer alone, wherever the table is sorted to; boxes tick several
function follow_rows() {
  const grid = Bokeh.index.find_one?.(table)?.grid
  if (grid === undefined || grid.aimet_hooks_clicks) return
  grid.aimet_hooks_clicks = true
  grid.onClick.subscribe((_event, {row, cell}) => {
    if (cell > 0) layers.selected.indices = [layers.data.row.indexOf(grid.getDataItem(row).row)]
  })
}

const ticked = layers.selected.indices.filter((place) => place < layers.data.row.length).toSorted((a, b) => a - b)
figures.forEach((figure, number) => {
  const is_shown = number < ticked.length
  if (is_shown) show(ticked[number], number)
  else words[number].text = number === 0 && counts.length > 0 ? '<p class="muted">Click a layer in the table to see its channels.</p>' : ""
  figure.visible = is_shown
  words[number].visible = is_shown || number === 0
})
more.visible = ticked.length > figures.length
more.text = more.visible ? `<p class="muted">The first ${figures.length} of ${ticked.length} ticked layers are shown.</p>` : ""
fit_columns(table)
follow_rows()
