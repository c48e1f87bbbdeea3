/** What the element says, in each language; the same words as the shop's. */
import type { ReservationView, SaleView } from '../types.ts';
import type { Language } from '../words.ts';

const en = {
  phase: {
    scheduled: 'Coming soon',
    reserving: 'Reservations open',
    reserved: 'Reservations closed',
    purchasing: 'Purchase open',
    closed: 'Over',
  } satisfies Record<SaleView['phase'], string>,
  paused: 'Paused',
  cancelled: 'Called off',
  next: {
    scheduled: 'Reservations open in',
    reserving: 'Reservations close in',
    reserved: 'Purchase opens in',
    purchasing: 'Purchase closes in',
  },
  left: (count: string, all: string) => `${count} of ${all} still free`,
  noneLeft: 'Nothing is free at the moment',
  quantity: 'How many',
  reserve: 'Reserve',
  join: 'Join the waitlist',
  full: 'The waitlist is full',
  capReached: 'You have as many as one person may have in this sale.',
  sending: 'Sending your request …',
  signIn: 'Sign in to the shop to reserve.',
  state: {
    requested: 'In line',
    allocated: 'Set aside for you',
    waitlisted: 'On the waitlist',
    rejected: 'Not accepted',
    purchased: 'Yours',
    cancelled: 'Cancelled',
    expired: 'Expired',
    refunded: 'Refunded',
  } satisfies Record<ReservationView['state'], string>,
  place: (place: string) => `number ${place}`,
  buy: 'Buy',
  buyWithin: (time: string) => `Buy within ${time}`,
  buyIn: (time: string) => `You can buy in ${time}`,
  unknown: 'We do not know yet whether your request has arrived. Press again to find out; it counts only once.',
  unreachable: 'The sale cannot be loaded right now.',
  noSale: 'There is no such sale.',
  time: { days: (count: string) => `${count} d` },
};

const ko: typeof en = {
  phase: {
    scheduled: '곧 시작',
    reserving: '예약 진행 중',
    reserved: '예약 마감',
    purchasing: '구매 진행 중',
    closed: '종료',
  },
  paused: '일시 중지',
  cancelled: '판매 취소',
  next: {
    scheduled: '예약 시작까지',
    reserving: '예약 마감까지',
    reserved: '구매 시작까지',
    purchasing: '구매 마감까지',
  },
  left: (count, all) => `${all}개 중 ${count}개 남음`,
  noneLeft: '지금은 남은 수량이 없습니다',
  quantity: '수량',
  reserve: '예약',
  join: '대기 명단에 등록',
  full: '대기 명단이 가득 찼습니다',
  capReached: '이 판매에서 한 사람이 가질 수 있는 수량을 모두 예약하셨습니다.',
  sending: '요청을 보내는 중 …',
  signIn: '예약하려면 쇼핑몰에 로그인해 주세요.',
  state: {
    requested: '처리 대기',
    allocated: '배정됨',
    waitlisted: '대기 명단',
    rejected: '접수되지 않음',
    purchased: '구매 완료',
    cancelled: '취소됨',
    expired: '만료됨',
    refunded: '환불됨',
  },
  place: (place) => `${place}번째`,
  buy: '구매',
  buyWithin: (time) => `${time} 안에 구매하세요`,
  buyIn: (time) => `${time} 뒤에 구매할 수 있습니다`,
  unknown: '요청이 도착했는지 아직 알 수 없습니다. 다시 누르시면 확인하며, 한 번만 접수됩니다.',
  unreachable: '지금은 판매를 불러올 수 없습니다.',
  noSale: '이러한 판매가 없습니다.',
  time: { days: (count) => `${count}일` },
};

export type EmbedWords = typeof en;

export const embedWords: Readonly<Record<Language, EmbedWords>> = { en, ko };
