// Package config reads sluice.yaml, which names queues and gives the URL and the
// settings of each.
//
//	queues:
//	  orders:
//	    url: awssqs:///orders?region=${AWS_REGION:-us-east-1}
//	    visibility_timeout: 60s
//	    retention: 4d
//	    dead_letter: {max_attempts: 5, name: orders-dlq, retention: 14d}
//	    retry: {min: 1s, max: 10m}
//	    consumer:
//	      concurrency: 32
//	      timeout: 30s
//	      retry: {max_attempts: 5}
//	      idempotency: {store: "redis://cache:6379/0"}
//	delay_store: postgres://db/shop
//	schedules:
//	  nightly-report: {cron: "30 2 * * *", zone: Europe/Berlin, queue: orders, body: '{"report":"daily"}'}
//
// A program opens a queue by its name, so that a change of provider changes the file
// and no code:
//
//	cfg, err := config.Load(nil)
//	...
//	sink, err := cfg.OpenSink(ctx, mux, "orders")
//
// Package service consumes the queues, as their sections consumer configure it.
//
// # Where values come from
//
// The files are those that [Options] or the variable SLUICE_CONFIG name, or else
// sluice.yaml. Each value of a later file replaces that of an earlier one; a null removes
// it. The environment wins over all files:
// SLUICE_QUEUES_ORDERS_URL is queues.orders.url, with the queue's name in upper
// case and every other character than a letter or a digit as an underscore; an
// empty variable counts as none. SLUICE_SCHEDULES_NIGHTLY_REPORT_CRON is likewise that of a
// schedule, SLUICE_SERVICE_ADMIN is service.admin, SLUICE_DELAY_STORE is delay_store,
// and SLUICE_JOBS=kind=queue,kind=queue is jobs. In a file, ${NAME} and ${NAME:-default} are
// replaced within values, after the file was parsed, and $$ is a dollar sign.
// [Config.Values] reports the source of each value.
//
// # Strictness
//
// An unknown key is a fault, as are a value of the wrong kind, a
// duration without a unit and a SLUICE_QUEUES_ variable that fits no key. So are keys
// that contradict each other, such as a timeout beyond the lease without a heartbeat, and
// schedules that never fire, whose time zone does not exist or whose queue is not configured. Every
// fault is reported, with file, line and column and the nearest key that
// exists; see [Error]. JSONSchema gives the same rules to an editor.
package config
