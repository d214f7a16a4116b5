// Package docstore keeps the idempotency middleware's keys in a document store,
// through gocloud.dev/docstore: DynamoDB, Firestore, MongoDB, or memory.
//
// Times are counted by this machine's clock, since these databases offer none in
// a conditional write: clocks must agree to much less than a lease's length.
// Ownership does not rest on clocks: every change is conditional on the
// document's revision.
//
// Reads must be consistent: on DynamoDB, open the collection with ConsistentRead.
//
// A document's key is the message's key, in which characters that a database
// may refuse are escaped as in a URL: "/" is %2F and "%" is %25. Two keys have
// two documents.
//
// A document has the fields key (string), token (string), done (bool), expires
// (milliseconds since 1970), delete_after (seconds since 1970) and result
// (bytes). The collection's key field must be "key". Point the database's own
// TTL at delete_after to have old documents removed (DynamoDB: Time to Live;
// Firestore and MongoDB want a date there: remove old documents with a query).
package docstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gocloud.dev/docstore"
	"gocloud.dev/gcerrors"

	"github.com/sluice-go/sluice/middleware/idempotency"
)

// KeyField is the name that the collection's key field must have.
const KeyField = "key"

// store is an [idempotency.Store] in a collection.
type store struct {
	collection *docstore.Collection
}

// New returns a store in the collection, whose key field must be [KeyField]. It fails
// if c is nil. The caller closes the collection.
func New(c *docstore.Collection) (idempotency.Store, error) {
	if c == nil {
		return nil, errors.New("docstore: the collection is nil")
	}
	return &store{collection: c}, nil
}

type document struct {
	Key         string `docstore:"key"`
	Token       string `docstore:"token"`
	Done        bool   `docstore:"done"`
	Expires     int64  `docstore:"expires"`
	DeleteAfter int64  `docstore:"delete_after"`
	Result      []byte `docstore:"result"`

	DocstoreRevision any
}

func (d *document) left(now time.Time) time.Duration {
	return time.UnixMilli(d.Expires).Sub(now)
}

// grace keeps an expired claim for its owner's late mark.
const grace = time.Hour

func (d *document) endIn(ttl time.Duration) {
	end := time.Now().Add(ttl)
	d.Expires = end.UnixMilli()
	d.DeleteAfter = end.Add(grace).Unix()
}

// attempts limits how often an operation restarts because another changed the
// document between its read and its write.
const attempts = 20

// Claim implements [idempotency.Store].
func (s *store) Claim(ctx context.Context, key, token string, ttl time.Duration) (idempotency.Claim, error) {
	for range attempts {
		fresh := &document{Key: escape(key), Token: token}
		fresh.endIn(ttl)
		err := s.collection.Create(ctx, fresh)
		if err == nil {
			return idempotency.Claim{State: idempotency.Claimed}, nil
		}
		if gcerrors.Code(err) != gcerrors.AlreadyExists {
			return idempotency.Claim{}, fmt.Errorf("docstore: claim: %w", wrap(ctx, err))
		}
		doc, err := s.get(ctx, key)
		if err != nil {
			return idempotency.Claim{}, fmt.Errorf("docstore: claim: %w", err)
		}
		if doc == nil {
			continue
		}
		left := doc.left(time.Now())
		switch {
		case left > 0 && doc.Done:
			return idempotency.Claim{State: idempotency.Done, Result: doc.Result}, nil
		case left > 0 && doc.Token != token:
			return idempotency.Claim{State: idempotency.InProgress, Remaining: left}, nil
		}
		doc.Token, doc.Done, doc.Result = token, false, nil
		doc.endIn(ttl)
		switch won, err := s.replace(ctx, doc); {
		case err != nil:
			return idempotency.Claim{}, fmt.Errorf("docstore: claim: %w", err)
		case won:
			return idempotency.Claim{State: idempotency.Claimed}, nil
		}
	}
	return idempotency.Claim{}, errContended("claim")
}

// Renew implements [idempotency.Store].
func (s *store) Renew(ctx context.Context, key, token string, ttl time.Duration) error {
	return s.change(ctx, "renew", key, func(d *document) error {
		if d == nil || d.Token != token || d.Done {
			return idempotency.ErrClaimLost
		}
		d.endIn(ttl)
		return nil
	})
}

// Complete implements [idempotency.Store].
func (s *store) Complete(ctx context.Context, key, token string, result []byte, ttl time.Duration) error {
	return s.change(ctx, "complete", key, func(d *document) error {
		switch {
		case d == nil || d.Token != token:
			return idempotency.ErrClaimLost
		case d.Done:
			return errUnchanged
		}
		d.Done, d.Result = true, result
		d.endIn(ttl)
		return nil
	})
}

// Release implements [idempotency.Store]. It ends the claim rather than deleting
// the document: a delete conditional on a revision is not to be had everywhere.
func (s *store) Release(ctx context.Context, key, token string) error {
	return s.change(ctx, "release", key, func(d *document) error {
		if d == nil || d.Token != token || d.Done {
			return errUnchanged
		}
		// A token of nobody's, so that a late renewal cannot bring it back.
		d.Token = ""
		d.endIn(-time.Second)
		return nil
	})
}

// errUnchanged is returned by a change that has nothing to write.
var errUnchanged = errors.New("unchanged")

// change reads a document, has f change it, and writes it, conditional on its
// revision. f is given nil if there is none, and must then return an error.
func (s *store) change(ctx context.Context, op, key string, f func(*document) error) error {
	for range attempts {
		doc, err := s.get(ctx, key)
		if err != nil {
			return fmt.Errorf("docstore: %s: %w", op, err)
		}
		switch err := f(doc); {
		case errors.Is(err, errUnchanged):
			return nil
		case err != nil:
			return err
		}
		switch won, err := s.replace(ctx, doc); {
		case err != nil:
			return fmt.Errorf("docstore: %s: %w", op, err)
		case won:
			return nil
		}
	}
	return errContended(op)
}

// get returns nil if there is no document.
func (s *store) get(ctx context.Context, key string) (*document, error) {
	doc := &document{Key: escape(key)}
	switch err := s.collection.Get(ctx, doc); gcerrors.Code(err) {
	case gcerrors.OK:
		return doc, nil
	case gcerrors.NotFound:
		return nil, nil
	default:
		return nil, wrap(ctx, err)
	}
}

// replace reports false where another changed the document first.
func (s *store) replace(ctx context.Context, doc *document) (bool, error) {
	switch err := s.collection.Replace(ctx, doc); gcerrors.Code(err) {
	case gcerrors.OK:
		return true, nil
	case gcerrors.FailedPrecondition, gcerrors.NotFound:
		return false, nil
	default:
		return false, wrap(ctx, err)
	}
}

// wrap brings out the context's own error, which docstore hides in an action list.
func wrap(ctx context.Context, err error) error {
	if ctxErr := ctx.Err(); ctxErr != nil {
		return ctxErr
	}
	return err
}

func errContended(op string) error {
	return fmt.Errorf("docstore: %s: the document changed under each of %d attempts", op, attempts)
}
