// Load the page anew: new parts of it reach no tab that is open. cb_obj: the source that tells it

cb_obj.document.apply_json_patch = () => undefined // what comes now is for the page after the reload
setTimeout(() => location.reload(), 1000)
