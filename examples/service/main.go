// Command service is a shop's worker in its full form: two queues and four kinds of jobs, by
// the configuration beside it. See README.md.
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-go/sluice/config"
	"github.com/sluice-go/sluice/drivers/all"
	"github.com/sluice-go/sluice/examples/service/shop"
	"github.com/sluice-go/sluice/job"
	controlopen "github.com/sluice-go/sluice/middleware/control/open"
	"github.com/sluice-go/sluice/middleware/idempotency/open"
	"github.com/sluice-go/sluice/outbox/opentable"
	"github.com/sluice-go/sluice/service"
	"github.com/sluice-go/sluice/service/telemetry"
)

func main() {
	service.Exit(run(context.Background(), os.Args[1:]))
}

func run(ctx context.Context, args []string) error {
	conf, err := config.Load(&config.Options{OpenTable: opentable.URL})
	if err != nil {
		return err
	}
	if len(args) == 1 && args[0] == "migrate" {
		return migrate(ctx, conf)
	}
	jobs, err := service.OpenJobs(ctx, conf, &service.JobsOptions{Mux: all.Mux()})
	if err != nil {
		return err
	}
	switch {
	case len(args) == 0:
		err = work(ctx, conf, jobs)
	case len(args) == 4 && args[0] == "place":
		err = place(ctx, jobs, args[1], args[2], args[3])
	case len(args) == 2 && args[0] == "cancel":
		_, err = jobs.Enqueue(ctx, shop.CancelOrder{ID: args[1]}, &job.Options{ID: "cancel " + args[1]})
	default:
		err = errors.New("usage: service [migrate | place ID CUSTOMER CENTS | cancel ID]")
	}
	return errors.Join(err, jobs.Close())
}

// work handles jobs until it is asked to stop.
func work(ctx context.Context, conf *config.Config, jobs *service.Jobs) error {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	s, err := service.New(conf, &service.Options{
		Mux: all.Mux(), OpenStore: open.URL, OpenControl: controlopen.URL, Telemetry: telemetry.Setup, Name: "shop", Logger: log,
	})
	if err != nil {
		return err
	}
	after, err := time.ParseDuration(os.Getenv("REMIND_AFTER"))
	if err != nil {
		after = 7 * 24 * time.Hour
	}
	own := &shop.Shop{Jobs: jobs, Mail: (&mailer{log}).send, RemindAfter: after}
	orders, err := own.Orders()
	if err != nil {
		return err
	}
	emails, err := own.Emails()
	if err != nil {
		return err
	}
	s.Handle("orders", orders)
	s.Handle("emails", emails)
	return s.Run(ctx)
}

// A mailer stands for a mail server.
type mailer struct{ log *slog.Logger }

func (m *mailer) send(ctx context.Context, to, text string) error {
	m.log.InfoContext(ctx, "mail", "to", to, "text", text)
	return nil
}

// place enqueues an order. Its ID is the job's identity: to place it twice has one effect.
func place(ctx context.Context, jobs *service.Jobs, id, customer, cents string) error {
	n, err := strconv.ParseInt(cents, 10, 64)
	if err != nil {
		return fmt.Errorf("cents: %w", err)
	}
	_, err = jobs.Enqueue(ctx, shop.PlaceOrder{ID: id, Customer: customer, Cents: n}, &job.Options{ID: "place " + id})
	return err
}

// migrate makes the table of orders and that of the delay store.
func migrate(ctx context.Context, conf *config.Config) error {
	table, closer, err := conf.OpenTable(ctx)
	if err != nil {
		return err
	}
	defer closer.Close()
	if err := table.Migrate(ctx); err != nil {
		return err
	}
	db, err := sql.Open("pgx", conf.DelayStore())
	if path, ok := strings.CutPrefix(conf.DelayStore(), "sqlite://"); ok {
		db, err = sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(10000)")
	}
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS orders (
		id text PRIMARY KEY, customer text NOT NULL, cents bigint NOT NULL, canceled boolean NOT NULL)`)
	return err
}
