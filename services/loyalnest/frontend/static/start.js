// The start page: what runs here, and one merchant's program for whoever has its token.
const KEY = "loyalnest.token";
const byId = (id) => document.getElementById(id);
const words = (name) => name.replaceAll("_", " ").replace(/^./, (first) => first.toUpperCase());
const MOST_COLUMNS = 8;

const age = (seconds) => {
  const [count, unit] = seconds < 120 ? [seconds, "second"] : seconds < 7200 ? [seconds / 60, "minute"] : [seconds / 3600, "hour"];
  return `${Math.floor(count)} ${unit}${Math.floor(count) === 1 ? "" : "s"}`;
};

function element(name, text, properties = {}) {
  const made = Object.assign(document.createElement(name), properties);
  if (text !== undefined) made.textContent = text;
  return made;
}

// Ids are strings already; whole numbers get separators, anything else is shown as it is.
function shown(value) {
  if (value === null || value === undefined || value === "") return "–";
  if (typeof value === "number") return value.toLocaleString("en");
  if (typeof value === "object") return JSON.stringify(value);
  return /^\d{4}-\d\d-\d\dT/.test(value) ? value.slice(0, 16).replace("T", " ") : String(value);
}

async function ask(path) {
  const response = await fetch(path, { headers: { Authorization: `Bearer ${sessionStorage.getItem(KEY)}` } });
  const found = await response.json().catch(() => ({}));
  if (!response.ok) throw Object.assign(new Error(found.detail || `HTTP ${response.status}`), { status: response.status });
  return found;
}

function figures(found) {
  const list = element("dl", undefined, { className: "figures" });
  for (const [name, value] of Object.entries(found)) {
    if (typeof value === "object" && value !== null) continue;
    const pair = element("div");
    pair.append(element("dt", words(name)), element("dd", shown(value)));
    list.append(pair);
  }
  return list;
}

// What all services say at once; one that does not answer is named with its reason.
function overview(found) {
  const place = element("div");
  const { points, customers, referrals, products, messages_sent, privacy_requests_open, tiers, badges, missing } = found;
  place.append(figures({ ...points, ...customers, ...referrals, products, messages_sent, privacy_requests_open }));
  for (const [title, rows] of [["VIP tiers", tiers], ["Badges", badges]]) {
    if (rows) place.append(element("h3", title), table(rows));
  }
  for (const [name, reason] of Object.entries(missing)) {
    place.append(element("p", `${words(name)}: ${reason}`, { className: "bad" }));
  }
  return place;
}

function table(rows, onCustomer) {
  if (!rows.length) return element("p", "None yet.", { className: "quiet" });
  const names = Object.keys(rows[0]).filter((name) => typeof rows[0][name] !== "object" || rows[0][name] === null);
  const columns = names.slice(0, MOST_COLUMNS);
  const made = element("table");
  const head = made.createTHead().insertRow();
  // Money comes as a decimal string; an id is no quantity.
  const isNumber = (name) => !name.endsWith("_id") && rows.every((row) => row[name] === null || /^-?\d+(\.\d+)?$/.test(row[name]));
  for (const name of columns) head.append(element("th", words(name), { scope: "col", className: isNumber(name) ? "number" : "" }));
  const body = made.createTBody();
  for (const row of rows) {
    const line = body.insertRow();
    for (const name of columns) {
      const cell = element("td", undefined, { className: isNumber(name) ? "number" : "" });
      if (name === "customer_id" && onCustomer) {
        cell.append(element("button", row[name], { type: "button", onclick: () => onCustomer(String(row[name])) }));
      } else {
        cell.textContent = shown(row[name]);
      }
      line.append(cell);
    }
  }
  const frame = element("div", undefined, { className: "scroll" });
  frame.append(made);
  return frame;
}

// The first list in an answer, whatever the service calls it.
const listIn = (found) => (Array.isArray(found) ? found : Object.values(found).find(Array.isArray) || []);

// One part of the page: a service that is not there takes only its own part with it.
async function part(id, path, show) {
  const place = byId(id);
  try {
    place.replaceChildren(show(await ask(path)));
  } catch (error) {
    if (error.status === 401) throw error;
    const text = error.status === 404 ? "Not served here." : `Not available at the moment: ${error.message}`;
    place.replaceChildren(element("p", text, { className: "bad" }));
  }
}

async function showCustomer(customerId) {
  const place = byId("balance");
  byId("customer").value = customerId;
  place.replaceChildren(element("p", "Asking…", { className: "quiet" }));
  const query = `customer_id=${encodeURIComponent(customerId)}`;
  const [balance, history] = await Promise.allSettled([
    ask(`/frontend/points?${query}`),
    ask(`/frontend/points/history?${query}&page_size=20`),
  ]);
  place.replaceChildren(
    balance.status === "fulfilled" ? figures(balance.value) : element("p", balance.reason.message, { className: "bad" }),
    history.status === "fulfilled" ? table(listIn(history.value)) : element("p", history.reason.message, { className: "bad" }),
  );
}

async function showProgram() {
  byId("message").textContent = "";
  try {
    await Promise.all([
      part("overview", "/frontend/overview", overview),
      part("segments", "/frontend/segments", (found) => table(listIn(found))),
      part("customers", "/frontend/customers", (found) => table(listIn(found), showCustomer)),
    ]);
  } catch (error) {
    forget(error.message);
    return;
  }
  byId("program").hidden = byId("logout").hidden = !sessionStorage.getItem(KEY);
}

function forget(message = "") {
  sessionStorage.removeItem(KEY);
  byId("program").hidden = byId("logout").hidden = true;
  byId("balance").replaceChildren();
  byId("token").value = "";
  byId("message").textContent = message;
}

async function showProcess() {
  try {
    const status = await (await fetch("/status")).json();
    const here = status.services.filter((service) => service.here).length;
    byId("process").textContent =
      `Version ${status.version}, ${here} of ${status.services.length} services in this process, ` +
      `events in ${status.bus === "kafka" ? "Kafka" : "PostgreSQL"}, up for ${age(status.uptime_seconds)}.`;
    byId("services").replaceChildren(
      ...status.services.map((service) => {
        const item = element("li");
        item.append(element("b", `${service.name}${service.here ? "" : " (elsewhere)"}`), element("span", service.summary));
        return item;
      }),
    );
  } catch {
    byId("process").textContent = "The process does not answer at the moment.";
  }
}

byId("login").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(KEY, byId("token").value.trim());
  byId("token").value = "";
  showProgram();
});
byId("logout").addEventListener("click", () => forget());
byId("find").addEventListener("submit", (event) => {
  event.preventDefault();
  showCustomer(byId("customer").value.trim());
});

showProcess();
if (sessionStorage.getItem(KEY)) showProgram();
