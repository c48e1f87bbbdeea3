/**
 * What every channel does by which messages reach people outside of the pages: mail by SMTP is one; SMS, Alimtalk or web push
 * would be others.
 */

/** A run of messages, over connections that are opened for it. */
export interface ChannelRun<Message> {
  /**
   * Sends a message under an id; one that was sent twice has the same. Throws `MessageRefused` if it will never be taken, and any
   * other error if it may be later.
   */
  send(message: Message, messageId: string): Promise<void>;
  close(): void;
}

/** This message will never be taken: its address is wrong, or whoever carries it does not want it. */
export class MessageRefused extends Error {
  constructor(cause: unknown) {
    super('the message was refused for good', { cause });
    this.name = 'MessageRefused';
  }
}
