// A tab whose server is gone keeps what it shows, and loads the page anew as soon as the server has it again

const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds))

async function answers(url, check) {
  try {
    const reply = await fetch(url, {cache: "no-store"})
    return reply.ok && check(await reply.text())
  } catch {
    return false
  }
}

async function come_back() {
  while (!await answers("static/js/bokeh.min.js", () => true)) await pause(2)
  await pause(6) // its process needs that long at most to put the page there; asking for it earlier would make an empty one
  while (!await answers(location.href, (page) => /"root_ids":\s*\["/.test(page))) await pause(2)
  location.reload()
}

function outlive_server(bokeh_document, when_lost) {
  // by itself a tab would put an empty page in the place of this one; that it does not is its own business
  bokeh_document.config.setv({reconnect_session: false, notify_connection_status: false}, {sync: false})
  let lost = false
  bokeh_document.on_event("connection_lost", () => {
    if (lost) return
    lost = true
    when_lost()
    void come_back()
  })
}
