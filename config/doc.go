// Package config reads sluice.yaml: which queues there are, by which URL each is
// reached, and what it should look like at its provider.
//
//	queues:
//	  orders:
//	    url: awssqs:///orders?region=${AWS_REGION:-us-east-1}
//	    visibility_timeout: 60s
//	    retention: 4d
//	    dead_letter: {max_attempts: 5, name: orders-dlq, retention: 14d}
//	    retry: {min: 1s, max: 10m}
//
// A program opens a queue by its name, so that another provider is another file
// and no other code:
//
//	cfg, err := config.Load(nil)
//	...
//	c, err := cfg.Consumer(ctx, mux, "orders", h, nil)
//
// # Where values come from
//
// Files are laid over each other, the later one winning value by value; a null
// takes away what an earlier file says. The environment wins over all files:
// SLUICE_QUEUES_ORDERS_URL is queues.orders.url, with the queue's name in upper
// case and every other character than a letter or a digit as an underscore; an
// empty variable counts as none. In a file, ${NAME} and ${NAME:-default} are
// replaced within values, after the file was parsed, and $$ is a dollar sign.
// [Config.Values] reports the source of each value.
//
// # Strictness
//
// A key that is not known is a fault, as are a value of the wrong kind, a
// duration without a unit and a SLUICE_QUEUES_ variable that fits no key. Every
// fault is reported, with file, line and column and the nearest key that
// exists; see [Error]. JSONSchema gives the same rules to an editor.
package config
