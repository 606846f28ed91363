// A click on a plot of all layers ticks that layer in the table. source: of the plot, with the layers' numbers; layers: of the
// table

const [clicked] = source.selected.indices
if (clicked !== undefined) {
  const row = source.data.number[clicked] - 1
  layers.selected.indices = [layers.data.row.indexOf(row)]
  source.selected.indices = [] // so that the same layer can be clicked again
}
