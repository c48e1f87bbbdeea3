/** Types of live.js, for its tests. */
export interface Live {
  open(): void;
  close(): void;
  watch(saleId: string): void;
  unwatch(saleId: string): void;
  note(subject: string, version: number, epoch?: number): void;
}
export function openLive(options: {
  url: string;
  token(): Promise<string | undefined>;
  onMessage(message: object): void;
  onState(state: 'live' | 'reconnecting' | 'off'): void;
  onBack(): void;
}): Live;
