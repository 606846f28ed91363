// Columns as wide as their table means them to be, in proportion. Bokeh fits them anew with every layout, each time
// from what the last one left, and what began in a table without a width drifts away.
// table: a DataTable; widths that a viewer has dragged stay

const DRIFTED = 1.2 // one column is so much wider, against another, than it should be

function fit_columns(table) {
  const grid = Bokeh.index.find_one?.(table)?.grid
  if (grid === undefined || !table.visible || table.autosize_mode !== "force_fit") return
  if (!grid.aimet_hooks_heard) {
    grid.aimet_hooks_heard = true
    grid.onColumnsResized.subscribe(() => grid.aimet_hooks_dragged = true)
  }
  if (grid.aimet_hooks_dragged) return
  const meant = new Map(table.columns.map((column) => [column.field, column.width]))
  const columns = grid.getColumns().filter((column) => meant.has(column.field))
  const shares = columns.map((column) => column.width / meant.get(column.field))
  if (Math.max(...shares) <= DRIFTED * Math.min(...shares)) return
  for (const column of columns) column.width = meant.get(column.field)
  grid.autosizeColumns()
}
