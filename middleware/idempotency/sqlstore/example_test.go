package sqlstore_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"

	"github.com/sluice-go/sluice/handler"
	"github.com/sluice-go/sluice/middleware/idempotency/sqlstore"
)

// The handler's writes and the mark of its message commit together.
func ExampleTransactional() {
	db, err := sql.Open("pgx", "postgres://localhost/shop")
	if err != nil {
		log.Fatal(err)
	}
	store, err := sqlstore.New(db, sqlstore.PostgreSQL, nil)
	if err != nil {
		log.Fatal(err)
	}
	once, err := sqlstore.Transactional(store, nil)
	if err != nil {
		log.Fatal(err)
	}
	h := handler.Chain(handler.HandlerFunc(func(ctx context.Context, m *handler.Message) error {
		_, err := sqlstore.Tx(ctx).ExecContext(ctx, "INSERT INTO orders (body) VALUES ($1)", m.Body)
		return err
	}), once)
	fmt.Println(handler.Check(h)) // h is for consumer.New
	// Output: <nil>
}
