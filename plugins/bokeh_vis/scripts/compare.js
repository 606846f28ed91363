// Offer to compare when two runs are ticked. source: the list of runs; compare: where the offer stands; tick_two: else

const state = window.aimet_hooks_list ??= {}
if (state.source !== source) {
  state.source = source
  follow_ticks(source, "key")
}
const [a, b, ...others] = source.selected.indices.map((row) => source.data.key[row])
if (a === undefined) compare.text = tick_two
else if (b === undefined) compare.text = '<span class="muted">Tick another run to compare the two.</span>'
else if (others.length > 0) compare.text = '<span class="muted">Tick two runs only to compare them.</span>'
else compare.text = `<a href="compare?a=${a}&amp;b=${b}">Compare the two ticked runs</a>`
