// Runs when the page has been laid out in a tab. cb_obj: any part of it

if (window.aimet_hooks_document !== cb_obj.document) {
  window.aimet_hooks_document = cb_obj.document
  outlive_server(cb_obj.document, () => undefined)
}
