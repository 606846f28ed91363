// The choices of every layer from the flat columns of a source, and where each layer has its ratio now.
// flat: one row a choice, layer after layer; about: one row for all that they share

function choice_rows(flat, about) {
  const {layer, candidate, score, cost, macs, weights, rank} = flat.data
  const ratios = about.data.ratios[0], order = about.data.order[0]
  const rows = []
  for (let start = 0, end; start < layer.length; start = end) {
    end = start
    while (end < layer.length && layer[end] === layer[start]) end += 1
    const part = (column) => column.slice(start, end)
    rows.push({
      ratios: part(candidate).map((place) => ratios[place]),
      candidates: part(candidate), scores: part(score), costs: part(cost),
      macs: part(macs), weights: part(weights), ranks: part(rank), order: order[rows.length],
    })
  }
  return rows
}

const same_ratio = (a, b) => Math.abs(a - b) < 1e-6 // what tables show is rounded

// What one step cheaper would change: the next choice below that costs less, and of equal ones that of the lowest ratio.
function next_step(row, now, about, alone) {
  let next = -1
  row.costs.forEach((cost, place) => {
    if (cost < row.costs[now] && (next < 0 || cost > row.costs[next])) next = place
  })
  if (next < 0) return {next_ratio: NaN, points: NaN, percent: NaN, price: NaN, step: "no cheaper ratio of it has a score"}
  const points = (row.scores[now] - row.scores[next]) / about.data.point[0]
  const percent = 100 * (row.costs[now] - row.costs[next]) / about.data.total[0]
  const size = Math.abs(points), next_ratio = row.ratios[next]
  const change = size < 0.005 ? "costs nothing" : `${points > 0 ? "costs" : "gains"} ${size.toFixed(2)} points`
  const step = `one step cheaper, at ratio ${Number(next_ratio.toPrecision(4))}, ${change} for ` +
    `${Number(percent.toPrecision(2))} % of the model's ${about.data.metric[0]}, ${alone}`
  return {next_ratio, points, percent, price: points / percent, step}
}
