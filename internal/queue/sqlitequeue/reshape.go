package sqlitequeue

// reshape arranges the messages anew after the queue began or ceased to keep
// order.
func reshape(tx *txn, q *queueRow, ordered bool) error {
	if err := tx.exec("DELETE FROM groups WHERE queue = ?", q.id); err != nil {
		return err
	}
	if !ordered {
		return tx.exec("UPDATE messages SET ordered = 0 WHERE queue = ? AND ordered = 1", q.id)
	}
	if err := tx.exec("UPDATE messages SET ordered = 1 WHERE id > ? AND id < ? AND grp <> ''", q.low(), q.high()); err != nil {
		return err
	}
	groups, err := tx.strings("SELECT DISTINCT grp FROM messages WHERE queue = ? AND ordered = 1", q.id)
	for _, g := range groups {
		tx.mark(q, g)
	}
	return err
}
