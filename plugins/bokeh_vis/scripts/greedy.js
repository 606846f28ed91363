// The greedy rule, and rows that are tied together: aimet_hooks/selection.py over again, so that a page chooses exactly
// the ratios that Python chooses.
//
// A row is what can be chosen for a layer: {ratios, scores, costs, order}. Ratios rise, and the last choice is to leave
// the layer alone (ratio 1); a higher score is better; a higher ratio never costs less; costs are whole, and the sum of
// all of them is below 2 ** 53. order is the place of the layer among all names. What is chosen is a place in each row.

function greedy(rows, budget) {
  const threshold = highest_threshold(rows, budget)
  const chosen = rows.map((row) => first_reaching(row, threshold))
  if (cost_of(rows, chosen) > budget) return null
  return refilled(rows, rows.map((row, layer) => places_above(row, chosen[layer], threshold)), chosen, budget)
}

// Raise ratios within the budget where that costs no score.
function without_loss(rows, chosen, budget) {
  const above = rows.map((row, layer) => {
    const score = row.scores[chosen[layer]]
    return places_above(row, chosen[layer], -Infinity).filter((place) => row.scores[place] >= score)
  })
  return refilled(rows, above, chosen, budget)
}

// The highest score at which the rows meet the budget, else the lowest. A lower threshold never costs more: it bisects.
function highest_threshold(rows, budget) {
  const scores = Float64Array.from(rows.flatMap(({scores}) => Array.from(scores).slice(0, -1))).sort()
  let low = 0, high = scores.length - 1
  while (low < high) {
    const middle = Math.ceil((low + high) / 2)
    if (cost_of(rows, rows.map((row) => first_reaching(row, scores[middle]))) <= budget) low = middle
    else high = middle - 1
  }
  return scores[low] ?? Infinity
}

function first_reaching({scores}, threshold) {
  const alone = scores.length - 1
  for (let place = 0; place < alone; place++) if (scores[place] >= threshold) return place
  return alone
}

function cost_of(rows, chosen) {
  let cost = 0
  for (let layer = 0; layer < rows.length; layer++) cost += rows[layer].costs[chosen[layer]]
  return cost
}

// Places of higher cost that keep the threshold, by cost; of equal cost (one rank) that of the lowest ratio.
function places_above({scores, costs}, now, threshold) {
  const alone = scores.length - 1, above = []
  let cost = costs[now]
  for (let place = now + 1; place <= alone; place++) {
    if (costs[place] <= cost || (place < alone && scores[place] < threshold)) continue
    above.push(place)
    cost = costs[place]
  }
  return above
}

// Raise one layer at a time to its next place above while there is budget left: the step of the highest gain first,
// then that of the layer that is compressed most, that of the lowest cost, and the first by name.
function refilled(rows, above, chosen, budget) {
  const places = [...chosen], next = new Uint32Array(rows.length), heap = []
  const [gains, ratios, added] = [0, 1, 2].map(() => new Float64Array(rows.length)) // of the next step of each layer
  let left = budget - cost_of(rows, chosen)

  function is_before(a, b) {
    if (gains[a] !== gains[b]) return gains[a] > gains[b]
    if (ratios[a] !== ratios[b]) return ratios[a] < ratios[b]
    return added[a] !== added[b] ? added[a] < added[b] : rows[a].order < rows[b].order
  }

  function push_next(layer) {
    if (next[layer] === above[layer].length) return
    const {ratios: known, scores, costs} = rows[layer], now = places[layer], then = above[layer][next[layer]]
    added[layer] = costs[then] - costs[now]
    gains[layer] = (scores[then] - scores[now]) / added[layer]
    ratios[layer] = known[now]
    push_on_heap(heap, layer, is_before)
  }

  for (let layer = 0; layer < rows.length; layer++) push_next(layer)
  while (heap.length > 0) {
    const layer = pop_from_heap(heap, is_before)
    if (added[layer] > left) continue // no step of this layer fits any more: the next ones cost more still
    places[layer] = above[layer][next[layer]++]
    left -= added[layer]
    push_next(layer)
  }
  return places
}

function push_on_heap(heap, item, is_before) {
  let at = heap.length
  while (at > 0) {
    const parent = (at - 1) >> 1
    if (!is_before(item, heap[parent])) break
    heap[at] = heap[parent]
    at = parent
  }
  heap[at] = item
}

function pop_from_heap(heap, is_before) {
  const first = heap[0], item = heap.pop()
  if (heap.length === 0) return first
  let at = 0
  for (let child = 1; child < heap.length; child = 2 * at + 1) {
    if (child + 1 < heap.length && is_before(heap[child + 1], heap[child])) child++
    if (!is_before(heap[child], item)) break
    heap[at] = heap[child]
    at = child
  }
  heap[at] = item
  return first
}

// One row in the place of those that share a ratio, where the first of them is. ties: the name of each row's group, or
// ""; members: of each row the rows that it stands for.
function tied(rows, ties) {
  const groups = new Map()
  rows.forEach((_, layer) => {
    const group = ties[layer] || layer // a number is no name
    if (groups.has(group)) groups.get(group).push(layer)
    else groups.set(group, [layer])
  })
  const members = [...groups.values()]
  const merged = members.map((layers) => layers.length === 1 ? rows[layers[0]] : merged_row(layers.map((layer) => rows[layer])))
  return {rows: merged, members}
}

// The ratios that all of the rows have. Costs add up, and so do the scores' differences from the layer left alone.
function merged_row(rows) {
  const places = rows.map(({ratios}) => new Map(Array.from(ratios, (ratio, place) => [ratio, place])))
  const ratios = Array.from(rows[0].ratios).filter((ratio) => places.every((known) => known.has(ratio)))
  const scores = [], costs = []
  for (const ratio of ratios) {
    let score = rows[0].scores.at(-1), cost = 0
    rows.forEach((row, member) => {
      const place = places[member].get(ratio)
      score += row.scores[place] - row.scores.at(-1)
      cost += row.costs[place]
    })
    scores.push(score)
    costs.push(cost)
  }
  return {ratios, scores, costs, order: rows[0].order}
}
