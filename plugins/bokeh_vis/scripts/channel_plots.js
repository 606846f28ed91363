// The channels of the ticked layers, each in a plot of its own. Runs when layers were ticked and when the tab has been laid
// out; every number is in the page.
//
// layers: of the table; channels: columns of all channels, layer after layer; begins, counts: where those of each layer
// are; figures, words, shown, marks: of each plot; more: a place for words; wide: relative range that is marked; colours

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

function mark(place, data) { // the channel that stands out of a layer
  const channel = layers.data.marked[place], count = data.x.length
  const top = channel === null ? NaN : Math.max(...[data.max, data.old_max, data.new_max].map((column) => column?.[channel] ?? -Infinity))
  if (!Number.isFinite(top)) return {x: [], y: [], text: [], align: [], offset: []}
  const is_right = channel > 0.7 * count
  return {x: [channel], y: [top], text: [layers.data.mark[place]], align: [is_right ? "right" : "left"], offset: [is_right ? -11 : 11]}
}

function show(place, number) {
  const row = layers.data.row[place]
  const data = slice(row), undefined_channels = Object.values(channels.data).length === 0 ? 0 :
    data.x.filter((channel) => ![data.min ?? data.old_min, data.new_min ?? data.min].every((column) => Number.isFinite(column[channel]))).length
  const ends = {start: -0.7, end: counts[row] - 0.3}
  figures[number].x_range.setv({...ends, reset_start: ends.start, reset_end: ends.end, bounds: null})
  shown[number].data = data
  marks[number].data = mark(place, data)
  const gaps = undefined_channels > 0 ? `<p class="warning">${undefined_channels} of its channels have weights that are NaN or infinite: gaps in the plot.</p>` : ""
  words[number].text = layers.data.about[place] + gaps
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
