package outbox_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/sluice-go/sluice/drivers"
	"github.com/sluice-go/sluice/drivers/mem"
	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/outbox"
)

// An order and its message commit together, and the relay sends the message.
func Example() {
	ctx, stop := context.WithCancel(context.Background())
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	db, err := sql.Open("sqlite", filepath.Join(dir, "shop.db")+"?_pragma=journal_mode(WAL)&_pragma=busy_timeout(5000)")
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	box, err := outbox.New(db, outbox.SQLite, nil)
	if err != nil {
		log.Fatal(err)
	}
	if err := box.Migrate(ctx); err != nil {
		log.Fatal(err)
	}

	// The producer's side: any transaction of the program.
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := tx.ExecContext(ctx, "CREATE TABLE orders (id text)"); err != nil {
		log.Fatal(err)
	}
	if err := box.Send(ctx, tx, "orders", &handler.Message{Body: []byte("order 1")}); err != nil {
		log.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		log.Fatal(err)
	}

	// The relay's side: this program, or another.
	queues := new(mem.Opener)
	relay, err := outbox.NewRelay(box, &outbox.RelayConfig{
		Open: func(ctx context.Context, queue string) (drivers.Sink, error) { return queues.Sink(ctx, queue, nil) },
	})
	if err != nil {
		log.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- relay.Run(ctx) }()

	source, err := queues.Source(ctx, "orders", nil)
	if err != nil {
		log.Fatal(err)
	}
	ds, err := source.Receive(ctx, 1, 20*time.Second)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(ds[0].Message.Body))
	stop()
	if err := <-done; err != nil {
		log.Fatal(err)
	}
	// Output: order 1
}

// A schedule's times follow the wall clock of its zone.
func ExampleSchedule() {
	s := outbox.Schedule{Name: "nightly", Queue: "reports", Cron: "30 2 * * *", Zone: "Europe/Berlin"}
	at := time.Date(2026, 3, 27, 12, 0, 0, 0, time.UTC)
	for range 3 {
		next, err := s.Next(at)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(next)
		at = next
	}
	// Output:
	// 2026-03-28 02:30:00 +0100 CET
	// 2026-03-29 03:00:00 +0200 CEST
	// 2026-03-30 02:30:00 +0200 CEST
}
