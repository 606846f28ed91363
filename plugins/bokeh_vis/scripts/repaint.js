// Paint a table anew. table: a DataTable of which values have changed

table.view.change.emit()
requestAnimationFrame(() => fit_columns(table)) // once it has been laid out
