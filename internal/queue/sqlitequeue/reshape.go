package sqlitequeue

// reshape rearranges the messages after the queue became ordered or unordered.
func reshape(tx *txn, q *queueRow, ordered bool) error {
	if err := tx.exec("DELETE FROM groups WHERE queue = ?", q.id); err != nil {
		return err
	}
	if !ordered {
		return tx.exec("UPDATE messages SET via = 0 WHERE queue = ? AND via <> 2 AND via = 1", q.id)
	}
	if err := tx.exec("UPDATE messages SET via = 1 WHERE id > ? AND id < ? AND grp <> ''", q.low(), q.high()); err != nil {
		return err
	}
	groups, err := tx.strings("SELECT DISTINCT grp FROM messages WHERE queue = ? AND via = 1", q.id)
	for _, g := range groups {
		tx.mark(q, g)
	}
	return err
}
