// Package opened defines the idempotency store that a URL opens. Package open returns
// one, and links every store's client. A program that knows its store makes one
// itself, and links only that store's client:
//
//	db, err := sql.Open("pgx", "postgres://db/shop")
//	...
//	store, err := sqlstore.New(db, sqlstore.PostgreSQL, nil)
//	...
//	s := &opened.Store{Store: store, SQL: store, Closer: db, Name: "postgres://db/shop"}
package opened

import (
	"errors"
	"io"

	"github.com/sluice-go/sluice/middleware/control"
	"github.com/sluice-go/sluice/middleware/idempotency"
	"github.com/sluice-go/sluice/middleware/idempotency/sqlstore"
)

// ErrURL is in the error of a URL that can never be opened as it is: a scheme
// or parameter that is not known, a part that is missing.
var ErrURL = errors.New("invalid idempotency store URL")

// A Store is a store that was opened, and the resources to close after use. It may be
// used concurrently.
type Store struct {
	idempotency.Store
	io.Closer
	// SQL is the store if it is a SQL one, for its transactional form and
	// its Cleanup; nil otherwise.
	SQL *sqlstore.Store
	// Control is the control store beside it, with connections of its own: those of the
	// store may all be in use by handlers. Nil means the one that the store's method Control
	// returns, if it has one.
	Control control.Store
	// Name is the store's in logs and in health, without its password.
	Name string
}

// String returns the store's name.
func (s *Store) String() string { return s.Name }

// ControlStore returns the control store beside the store, nil if there is none.
func (s *Store) ControlStore() control.Store {
	if s.Control != nil {
		return s.Control
	}
	if keeper, ok := s.Store.(interface{ Control() control.Store }); ok {
		return keeper.Control()
	}
	return nil
}
