// The knapsack rule: aimet_hooks/knapsack.py over again, which says what it does and why. Every number is the one that
// Python has there, to the last bit; only sorting differs where the states of a layer are in order already.
// Needs greedy.js, which says what a row is.

const MAX_STATES = 20_000
const MAX_WORK = 30_000_000
const MAX_PASSES = 4
const BETTER = 0.999

// What a rule chooses: the place in each row; null where the rows cannot reach the budget.
function choose(rule, rows, budget) {
  const by_greedy = greedy(rows, budget)
  if (rule === "greedy" || by_greedy === null) return by_greedy
  const by_knapsack = knapsack(rows, budget)
  const is_worse = score_loss(rows, by_greedy) < score_loss(rows, by_knapsack)
  return without_loss(rows, is_worse ? by_greedy : by_knapsack, budget)
}

function score_loss(rows, chosen) {
  return exact_sum(rows.map(({scores}, layer) => scores[scores.length - 1] - scores[chosen[layer]]))
}

function knapsack(rows, budget) {
  const by_name = [...rows.keys()].sort((a, b) => rows[a].order - rows[b].order)
  const fronts = by_name.map((layer) => efficient(rows[layer]))
  const chosen = new Array(rows.length)
  smallest_loss(fronts, budget).forEach((at, k) => chosen[by_name[k]] = fronts[k].places[at])
  return chosen
}

// The choices that none of lower or equal cost and loss makes needless; of equal ones that of the lowest ratio.
function efficient({scores, costs}) {
  const places = [0]
  for (let place = 1; place < scores.length; place++) {
    const last = places[places.length - 1]
    if (scores[place] <= scores[last]) continue
    if (costs[place] === costs[last]) places.pop()
    places.push(place)
  }
  return {places, scores: places.map((place) => scores[place]), costs: places.map((place) => costs[place])}
}

// The place of each front's choice.
function smallest_loss(fronts, budget) {
  const step = cost_step(fronts)
  const costs = fronts.map(({costs}) => costs.map((cost) => (cost - costs[0]) / step))
  const losses = whole_losses(fronts)
  const cheapest = fronts.reduce((sum, {costs}) => sum + costs[0], 0)
  const {taken, spare, slope} = relaxed(costs, losses, Math.floor((budget - cheapest) / step))
  const layers = taken.map((at, number) => layer_around(number, at, costs[number], losses[number], slope))
  let best = 0, bound = -Infinity, moves = new Map()
  for (let pass = 0; pass < MAX_PASSES; pass++) {
    const search = searched(layers, spare, slope, best)
    bound = Math.max(bound, search.lost)
    if (search.best === best) break
    moves = moves_to_best(search)
    best = search.best
    if (bound > best - BETTER) break
  }
  return taken.map((at, number) => moves.get(number) ?? at)
}

// ---- whole numbers ----

// The greatest common divisor of what the choices cost more than the cheapest.
function cost_step(fronts) {
  let step = 0
  for (const {costs} of fronts) {
    for (const cost of costs) {
      let rest = cost - costs[0]
      while (rest > 0) [step, rest] = [rest, step % rest]
      if (step === 1) return 1
    }
  }
  return Math.max(1, step)
}

// Losses against the cheapest choice (zero or negative) in whole units.
function whole_losses(fronts) {
  const losses = fronts.map(({scores}) => scores.map((score) => scores[0] - score))
  let largest = 0
  for (const {scores} of fronts) for (const score of scores) largest = Math.max(largest, Math.abs(score))
  const shared = shared_step(Float64Array.from([0, ...losses].flat()).sort(), largest * 2 ** -50)
  const unit = shared || Math.max(exact_sum(losses.map((loss) => -loss[loss.length - 1])) * 2 ** -50, Number.MIN_VALUE)
  return losses.map((row) => row.map((loss) => rounded_half_even(loss / unit)))
}

// The step that all losses, ascending, are multiples of within their rounding; null if there is none to see.
function shared_step(losses, rounding) {
  const largest = -losses[0]
  let gap = Infinity
  for (let k = 1; k < losses.length; k++) {
    const between = losses[k] - losses[k - 1]
    if (between > 1e-6 * largest && between < gap) gap = between
  }
  if (gap === Infinity) return null
  const step = largest / -rounded_half_even(losses[0] / gap)
  const is_multiple = (loss) => Math.abs(loss - rounded_half_even(loss / gap) * step) <= rounding
  return losses.every(is_multiple) ? step : null
}

function rounded_half_even(number) { // below 2 ** 52: from there on numbers are whole, and sums are rounded so
  return number < 0 ? number - 2 ** 52 + 2 ** 52 : number + 2 ** 52 - 2 ** 52
}

// The sum, rounded once: math.fsum (Shewchuk 1997, Adaptive Precision Floating-Point Arithmetic).
function exact_sum(numbers) {
  const partials = [] // rising, and no two overlap
  for (let number of numbers) {
    let kept = 0
    for (let partial of partials) {
      if (Math.abs(number) < Math.abs(partial)) [number, partial] = [partial, number]
      const sum = number + partial, low = partial - (sum - number)
      if (low !== 0) partials[kept++] = low
      number = sum
    }
    partials.length = kept
    partials.push(number)
  }
  let sum = partials.pop() ?? 0, low = 0
  while (partials.length > 0 && low === 0) {
    const partial = partials.pop(), whole = sum + partial
    low = partial - (whole - sum)
    sum = whole
  }
  // a half that was rounded to even goes the other way where the partials below lie there
  const below = partials.pop() ?? 0, further = sum + 2 * low
  return Math.sign(low) === Math.sign(below) && further - sum === 2 * low ? further : sum
}

// ---- the linear relaxation ----

// The choice that its whole steps get each layer to, what they leave of spare, and the slope.
function relaxed(costs, losses, spare) {
  const {layers, ends, added, gains} = hull_steps(costs, losses)
  const falls = Float64Array.from(gains, (gain, step) => -gain / added[step])
  const order = Uint32Array.from(falls.keys()).sort((a, b) => falls[a] - falls[b]) // a stable sort
  const taken = new Array(costs.length).fill(0)
  for (const step of order) {
    if (added[step] > spare) return {taken, spare, slope: gains[step] / added[step]}
    taken[layers[step]] = Math.max(taken[layers[step]], ends[step])
    spare -= added[step]
  }
  return {taken, spare, slope: 0}
}

function hull_steps(costs, losses) {
  const steps = {layers: [], ends: [], added: [], gains: []}
  for (let layer = 0; layer < costs.length; layer++) {
    const cost = costs[layer], loss = losses[layer], corners = hull(cost, loss)
    for (let k = 1; k < corners.length; k++) {
      const start = corners[k - 1], end = corners[k]
      steps.layers.push(layer)
      steps.ends.push(end)
      steps.added.push(cost[end] - cost[start])
      steps.gains.push(loss[start] - loss[end])
    }
  }
  return steps
}

// Corners of the lower convex hull of a Pareto front.
function hull(costs, losses) {
  const corners = []
  for (let k = 0; k < costs.length; k++) {
    while (corners.length > 1) {
      const a = corners.at(-2), b = corners.at(-1)
      const gain = losses[a] - losses[b], next_gain = losses[b] - losses[k]
      if (is_product_above(gain, costs[k] - costs[b], next_gain, costs[b] - costs[a])) break
      corners.pop()
    }
    corners.push(k)
  }
  return corners
}

// Whether a * b > c * d, exactly, of whole numbers that are not negative.
function is_product_above(a, b, c, d) {
  const left = a * b, right = c * d, sum = left + right
  if (sum < 2 ** 53 || Math.abs(left - right) > 2 ** -50 * sum) return left > right
  return BigInt(a) * BigInt(b) > BigInt(c) * BigInt(d)
}

// ---- the dynamic programme ----

// A layer's choices as steps from the one that the relaxation takes: costs, losses, the losses' excess over the price
// of the cost, and the smallest excess per cost of those that cost more (dearer) and less (cheaper).
function layer_around(number, taken, costs, losses, slope) {
  const steps = {number, costs: [], losses: [], excess: [], dearer: Infinity, cheaper: Infinity}
  for (let k = 0; k < costs.length; k++) {
    const cost = costs[k] - costs[taken], loss = losses[k] - losses[taken], excess = Math.max(loss + slope * cost, 0)
    steps.costs.push(cost)
    steps.losses.push(loss)
    steps.excess.push(excess)
    if (k > taken) steps.dearer = Math.min(steps.dearer, excess / cost)
    if (k < taken) steps.cheaper = Math.min(steps.cheaper, excess / -cost)
  }
  return steps
}

// A pass: the layers are taken up, those nearest to the slope first, until no state can lead to a better solution.
// states: a Pareto front by cost, above the relaxation's choices; an origin is choice * states before + state before.
// trail: by layer what was tried, and the states before it; best_at: place in the trail, and origin there.
function searched(layers, spare, slope, best) {
  const search = {spare, slope, best, lost: Infinity, states: no_states(1), trail: [], best_at: [-1, 0]}
  add_state(search.states, 0, 0, 0)
  let work = MAX_WORK
  for (const {layer, dearer, cheaper} of in_order(layers, slope)) {
    const tried = [...layer.excess.keys()].filter((k) => layer.excess[k] <= search.best - BETTER + slope * spare)
    const {size} = search.states
    if (tried.length < 2 || size === 0) continue
    work -= tried.length * size
    const limit = Math.min(MAX_STATES, Math.max(1, Math.floor(work / (16 * tried.length))))
    take_up(search, layer, tried, dearer, cheaper, limit)
  }
  return search
}

// The layers, nearest to the slope first, each with the smallest excesses of those after it.
function in_order(layers, slope) {
  const nearness = layers.map((layer) => Math.min(layer.dearer, layer.cheaper))
  const furthest = (a, b) => nearness[a] === nearness[b] ? 0 : nearness[a] < nearness[b] ? 1 : -1 // infinite ones too
  const order = [...layers.keys()].sort(furthest) // a stable sort
  let dearer = slope, cheaper = Infinity
  const ahead = order.map((number) => {
    const entry = {layer: layers[number], dearer, cheaper}
    dearer = Math.min(dearer, entry.layer.dearer)
    cheaper = Math.min(cheaper, entry.layer.cheaper)
    return entry
  })
  return ahead.reverse()
}

// Every state with every choice; kept is the Pareto front of those that can lead to a better solution.
function take_up(search, layer, tried, dearer, cheaper, limit) {
  note_best(search, layer, tried)
  const {spare, states} = search, most = search.best - BETTER
  const falling = search.slope - dearer, rising = search.slope + cheaper
  const bound = (cost, loss) => { // the layers ahead fill what is left, or free it, at no better a price
    const left = spare - cost
    return loss - (left >= 0 ? falling : rising) * left
  }
  const front = (first, end) => { // of the choices tried from first to end: each has its states in order
    const choice = tried[first]
    if (end - first === 1) return moved(states, layer.costs[choice], layer.losses[choice], first, bound, most)
    const middle = (first + end) >> 1
    return front_of_both(front(first, middle), front(middle, end))
  }
  search.trail.push({number: layer.number, tried, states})
  search.states = front(0, tried.length)
  if (search.states.size > limit) thin_out(search, bound, limit)
}

// Losses fall with the cost: of each choice the last state that fits has the smallest.
function note_best(search, layer, tried) {
  const {costs, losses, size} = search.states
  tried.forEach((choice, k) => {
    const last = count_up_to(costs, size, search.spare - layer.costs[choice]) - 1
    if (last < 0 || layer.losses[choice] + losses[last] >= search.best) return
    search.best = layer.losses[choice] + losses[last]
    search.best_at = [search.trail.length, k * size + last]
  })
}

function count_up_to(rising, size, highest) {
  let low = 0, high = size
  while (low < high) {
    const middle = (low + high) >> 1
    if (rising[middle] <= highest) low = middle + 1
    else high = middle
  }
  return low
}

function no_states(most) {
  return {size: 0, costs: new Float64Array(most), losses: new Float64Array(most), origins: new Uint32Array(most)}
}

function add_state(states, cost, loss, origin) {
  const at = states.size++
  states.costs[at] = cost
  states.losses[at] = loss
  states.origins[at] = origin
}

// The states with a choice more, those that can lead to a loss of most or less.
function moved({size, costs, losses}, added, lost, choice, bound, most) {
  const after = no_states(size)
  for (let k = 0; k < size; k++) {
    const cost = costs[k] + added, loss = losses[k] + lost
    if (bound(cost, loss) <= most) add_state(after, cost, loss, choice * size + k)
  }
  return after
}

// Of two Pareto fronts; of equal states that of the first one.
function front_of_both(a, b) {
  if (a.size === 0) return b
  if (b.size === 0) return a
  const both = no_states(a.size + b.size)
  let i = 0, j = 0, lowest = Infinity
  while (i < a.size || j < b.size) {
    const is_first = j === b.size || (i < a.size &&
      (a.costs[i] < b.costs[j] || (a.costs[i] === b.costs[j] && a.losses[i] <= b.losses[j])))
    const from = is_first ? a : b, at = is_first ? i++ : j++
    if (from.losses[at] >= lowest) continue
    lowest = from.losses[at]
    add_state(both, from.costs[at], lowest, from.origins[at])
  }
  return both
}

// Keep of each bucket of cost the state with the smallest loss, which is the last; rounding may add a bucket.
function thin_out(search, bound, limit) {
  const {size, costs, losses, origins} = search.states
  const kept = no_states(limit + 1), width = costs[size - 1] - costs[0] + 1
  const bucket = (k) => Math.floor((costs[k] - costs[0]) / width * limit)
  for (let k = 0; k < size; k++) {
    if (k === size - 1 || bucket(k) < bucket(k + 1)) add_state(kept, costs[k], losses[k], origins[k])
    else search.lost = Math.min(search.lost, bound(costs[k], losses[k]))
  }
  search.states = kept
}

// Place of the best solution's choice by layer, for the layers that it took up.
function moves_to_best({trail, best_at}) {
  const moves = new Map()
  let [at, origin] = best_at
  for (; at >= 0; at--) {
    const {number, tried, states} = trail[at]
    moves.set(number, tried[Math.floor(origin / states.size)])
    origin = states.origins[origin % states.size]
  }
  return moves
}
